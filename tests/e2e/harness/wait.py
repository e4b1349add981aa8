"""Waiting for a condition, never for a time."""

import time

from .env import PATIENCE


def wait_until(condition, what, seconds=10):
    """Returns the first true value of `condition()`; fails the test after the deadline."""
    deadline = time.monotonic() + seconds * PATIENCE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds * PATIENCE} s in vain: {what}")
        time.sleep(0.01)


def wait_unchanged(read, what, still=0.5, seconds=30):
    """Returns the value of `read()` once it has stayed the same for `still` seconds."""
    state = {"value": read(), "since": time.monotonic()}

    def is_still():
        value = read()
        if value != state["value"]:
            state.update(value=value, since=time.monotonic())
        return time.monotonic() - state["since"] >= still * PATIENCE

    wait_until(is_still, what, seconds)
    return state["value"]
