"""Configuration files as dicts: section title -> {key: value}."""


def ini(sections):
    """The text of `sections`; a value of None leaves its key out, lists are joined."""
    lines = []
    for title, keys in sections.items():
        lines.append(f"[{title}]")
        lines += [f"{key} = {_text(value)}" for key, value in keys.items() if value is not None]
        lines.append("")
    return "\n".join(lines)


def basic(listen, certificates, backend, workers=1):
    """The usual sections: one listener `web`, some certificates, one backend `app`."""
    sections = {
        "proxy": {"workers": workers, "control": "control.sock"},
        "listener web": {"address": listen},
        **{f"certificate {cert.name}": cert.keys() for cert in certificates},
        "backend app": {"address": backend},
        "limits": {"drain_timeout": "5s"},
    }
    return sections


def _text(value):
    return ", ".join(value) if isinstance(value, (list, tuple)) else str(value)
