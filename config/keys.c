#include "config/keys.h"

const struct section_type keys_sections[SECTION_KINDS] = {
    [SECTION_PROXY] = {.word = "proxy",
                       .keys = &keys_of_proxy,
                       .size = sizeof(struct config_proxy),
                       .offset = offsetof(struct config, proxy),
                       .help = "The process as a whole"},
    [SECTION_TLS] = {.word = "tls",
                     .keys = &keys_of_tls,
                     .size = sizeof(struct config_tls),
                     .offset = offsetof(struct config, tls),
                     .help = "What is negotiated, and for how long a secret may live; "
                             "it can only be made stricter"},
    [SECTION_LISTENER] = {.word = "listener",
                          .keys = &keys_of_listener,
                          .sample = "web",
                          .required = true,
                          .size = sizeof(struct config_listener),
                          .offset = offsetof(struct config, listeners),
                          .count_offset = offsetof(struct config, listener_count),
                          .help = "Where clients connect; any number of these sections"},
    [SECTION_ROUTE] = {.word = "route",
                       .keys = &keys_of_route,
                       .sample = "api",
                       .size = sizeof(struct config_route),
                       .offset = offsetof(struct config, routes),
                       .count_offset = offsetof(struct config, route_count),
                       .help =
                           "Clients that get something else than their listener says: "
                           "of the routes with the name a client asks for, exact before "
                           "wildcard before none, the first whose alpn suits it"},
    [SECTION_CERTIFICATE] = {.word = "certificate",
                             .keys = &keys_of_certificate,
                             .sample = "main",
                             .required = true,
                             .size = sizeof(struct config_certificate),
                             .offset = offsetof(struct config, certificates),
                             .count_offset = offsetof(struct config, certificate_count),
                             .help =
                                 "A certificate with its private key; clients get the "
                                 "one whose names match"},
    [SECTION_CLIENTS] = {.word = "clients",
                         .keys = &keys_of_clients,
                         .sample = "staff",
                         .size = sizeof(struct config_clients),
                         .offset = offsetof(struct config, clients),
                         .count_offset = offsetof(struct config, clients_count),
                         .help =
                             "Which client certificates are accepted where a listener "
                             "or route names this policy; such sessions are never "
                             "resumed"},
    [SECTION_BACKEND] = {.word = "backend",
                         .keys = &keys_of_backend,
                         .sample = "app",
                         .required = true,
                         .size = sizeof(struct config_backend),
                         .offset = offsetof(struct config, backends),
                         .count_offset = offsetof(struct config, backend_count),
                         .help = "Where the decrypted bytes go"},
    [SECTION_LIMITS] = {.word = "limits",
                        .keys = &keys_of_limits,
                        .size = sizeof(struct config_limits),
                        .offset = offsetof(struct config, limits),
                        .help = "How long things may take"},
    [SECTION_LOG] = {.word = "log",
                     .keys = &keys_of_log,
                     .size = sizeof(struct config_log),
                     .offset = offsetof(struct config, log),
                     .help = "What Pawl tells about itself, and where"},
    [SECTION_ADMIN] = {.word = "admin",
                       .keys = &keys_of_admin,
                       .size = sizeof(struct config_admin),
                       .offset = offsetof(struct config, admin),
                       .help =
                           "Where Pawl says over plain HTTP how it is doing: a page for "
                           "people at /, and /metrics, /status, /healthz, /readyz"},
};
