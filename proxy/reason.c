#include "proxy/reason.h"

static const struct reason reasons[SESSION_REASONS] = {
    [REASON_FINISHED] = {"finished", true, LOG_LEVEL_INFO},
    [REASON_CLIENT_CLOSED] = {"client_closed", true, LOG_LEVEL_INFO},
    [REASON_CLIENT_RESET] = {"client_reset", false, LOG_LEVEL_INFO},
    [REASON_CLIENT_TRUNCATED] = {"client_truncated", true, LOG_LEVEL_INFO},
    [REASON_BACKEND_UNREACHABLE] = {"backend_unreachable", true, LOG_LEVEL_WARNING},
    [REASON_BACKEND_TIMEOUT] = {"backend_timeout", true, LOG_LEVEL_WARNING},
    [REASON_BACKEND_RESET] = {"backend_reset", false, LOG_LEVEL_WARNING},
    [REASON_PROXY_UNTRUSTED] = {"proxy_untrusted", false, LOG_LEVEL_INFO},
    [REASON_PROXY_MALFORMED] = {"proxy_malformed", false, LOG_LEVEL_WARNING},
    [REASON_SOURCE_LIMIT] = {"source_limit", false, LOG_LEVEL_INFO},
    [REASON_HANDSHAKE_TIMEOUT] = {"handshake_timeout", false, LOG_LEVEL_INFO},
    [REASON_IDLE_TIMEOUT] = {"idle_timeout", true, LOG_LEVEL_INFO},
    [REASON_HALF_CLOSE_TIMEOUT] = {"half_close_timeout", true, LOG_LEVEL_INFO},
    [REASON_HELLO_REFUSED] = {"hello_refused", false, LOG_LEVEL_INFO},
    [REASON_NO_ROUTE] = {"no_route", false, LOG_LEVEL_INFO},
    [REASON_NO_PROTOCOL] = {"no_protocol", false, LOG_LEVEL_INFO},
    [REASON_NO_CERTIFICATE] = {"no_certificate", false, LOG_LEVEL_INFO},
    [REASON_UNKNOWN_SNI] = {"unknown_sni", false, LOG_LEVEL_INFO},
    [REASON_CLIENT_CERT_MISSING] = {"client_cert_missing", false, LOG_LEVEL_INFO},
    [REASON_CLIENT_CERT_UNTRUSTED] = {"client_cert_untrusted", false, LOG_LEVEL_INFO},
    [REASON_CLIENT_CERT_EXPIRED] = {"client_cert_expired", false, LOG_LEVEL_INFO},
    [REASON_CLIENT_CERT_REVOKED] = {"client_cert_revoked", false, LOG_LEVEL_INFO},
    [REASON_CLIENT_CERT_EKU] = {"client_cert_eku", false, LOG_LEVEL_INFO},
    [REASON_CLIENT_CERT_NOT_ALLOWED] = {"client_cert_not_allowed", false, LOG_LEVEL_INFO},
    [REASON_SIGNING_FAILED] = {"signing_failed", false, LOG_LEVEL_ERROR},
    [REASON_TLS_ALERT] = {"tls_alert", false, LOG_LEVEL_INFO},
    [REASON_TLS_ERROR] = {"tls_error", false, LOG_LEVEL_INFO},
    [REASON_FLOOD] = {"flood", false, LOG_LEVEL_WARNING},
    [REASON_WINDOW] = {"window", true, LOG_LEVEL_INFO},
    [REASON_DRAIN] = {"drain", true, LOG_LEVEL_INFO},
    [REASON_INTERNAL] = {"internal", false, LOG_LEVEL_ERROR},
};

const struct reason *reason_of(enum session_reason reason)
{
    return &reasons[reason];
}
