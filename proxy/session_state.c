#include "proxy/session_state.h"

static const char *const names[SESSION_STATES] = {
    [SESSION_PROXY] = "proxy",         [SESSION_HELLO] = "hello",
    [SESSION_HANDSHAKE] = "handshake", [SESSION_CONNECT] = "connect",
    [SESSION_RELAY] = "relay",         [SESSION_LINGER] = "linger",
};

const char *session_state_name(enum session_state state)
{
    return names[state];
}
