#include "config/keys.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "config/refusal.h"

#define SECOND ((uint64_t)1000)
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)

/* A choice is stored through an unsigned, whatever enum it is of. */
static_assert(sizeof(enum tls_version) == sizeof(unsigned), "enums are not unsigned");
static_assert(sizeof(enum tls_unanswered) == sizeof(unsigned), "enums are not unsigned");
static_assert(sizeof(enum unknown_sni) == sizeof(unsigned), "enums are not unsigned");
static_assert(sizeof(enum clients_mode) == sizeof(unsigned), "enums are not unsigned");
static_assert(sizeof(enum send_proxy) == sizeof(unsigned), "enums are not unsigned");
static_assert(sizeof(enum log_level) == sizeof(unsigned), "enums are not unsigned");
static_assert(sizeof(enum log_format) == sizeof(unsigned), "enums are not unsigned");

/* In the order of the enums they stand for. */
static const char *const tls_version_words[] = {"1.2", "1.3", NULL};
static const char *const tls_cipher_words[] = {"AES-128-GCM", "AES-256-GCM",
                                               "CHACHA20-POLY1305", NULL};
static const char *const tls_group_words[] = {"X25519MLKEM768", "X25519", "secp256r1",
                                              NULL};
static const char *const unanswered_words[] = {"close", "keep", NULL};
static const char *const lifetime_words[] = {"window", "unlimited", NULL};
static const char *const unknown_sni_words[] = {"default", "refuse", NULL};
static const char *const clients_mode_words[] = {"required", "optional", NULL};
static const char *const send_proxy_words[] = {"off", "v1", "v2", "v2-tls", NULL};
static const char *const log_level_words[] = {"error", "warning", "info", "debug", NULL};
static const char *const log_format_words[] = {"text", "json", NULL};

const struct section_type keys_sections[SECTION_KINDS] = {
    [SECTION_PROXY] = {.word = "proxy",
                       .size = sizeof(struct config_proxy),
                       .offset = offsetof(struct config, proxy),
                       .help = "The process as a whole"},
    [SECTION_TLS] = {.word = "tls",
                     .size = sizeof(struct config_tls),
                     .offset = offsetof(struct config, tls),
                     .help = "What is negotiated, and for how long a secret may live; "
                             "it can only be made stricter"},
    [SECTION_LISTENER] = {.word = "listener",
                          .sample = "web",
                          .required = true,
                          .size = sizeof(struct config_listener),
                          .offset = offsetof(struct config, listeners),
                          .count_offset = offsetof(struct config, listener_count),
                          .help = "Where clients connect; any number of these sections"},
    [SECTION_ROUTE] = {.word = "route",
                       .sample = "api",
                       .size = sizeof(struct config_route),
                       .offset = offsetof(struct config, routes),
                       .count_offset = offsetof(struct config, route_count),
                       .help =
                           "Clients that get something else than their listener says: "
                           "of the routes with the name a client asks for, exact before "
                           "wildcard before none, the first whose alpn suits it"},
    [SECTION_CERTIFICATE] = {.word = "certificate",
                             .sample = "main",
                             .required = true,
                             .size = sizeof(struct config_certificate),
                             .offset = offsetof(struct config, certificates),
                             .count_offset = offsetof(struct config, certificate_count),
                             .help =
                                 "A certificate with its private key; clients get the "
                                 "one whose names match"},
    [SECTION_CLIENTS] = {.word = "clients",
                         .sample = "staff",
                         .size = sizeof(struct config_clients),
                         .offset = offsetof(struct config, clients),
                         .count_offset = offsetof(struct config, clients_count),
                         .help =
                             "Which client certificates are accepted where a listener "
                             "or route names this policy; such sessions are never "
                             "resumed"},
    [SECTION_BACKEND] = {.word = "backend",
                         .sample = "app",
                         .required = true,
                         .size = sizeof(struct config_backend),
                         .offset = offsetof(struct config, backends),
                         .count_offset = offsetof(struct config, backend_count),
                         .help = "Where the decrypted bytes go"},
    [SECTION_LIMITS] = {.word = "limits",
                        .size = sizeof(struct config_limits),
                        .offset = offsetof(struct config, limits),
                        .help = "How long things may take"},
    [SECTION_LOG] = {.word = "log",
                     .size = sizeof(struct config_log),
                     .offset = offsetof(struct config, log),
                     .help = "What goes to standard error"},
};

#define PROXY(member)                                                                    \
    .section = SECTION_PROXY, .offset = offsetof(struct config_proxy, member)
#define TLS(member) .section = SECTION_TLS, .offset = offsetof(struct config_tls, member)
#define LISTENER(member)                                                                 \
    .section = SECTION_LISTENER, .offset = offsetof(struct config_listener, member)
#define ROUTE(member)                                                                    \
    .section = SECTION_ROUTE, .offset = offsetof(struct config_route, member)
#define CLIENTS(member)                                                                  \
    .section = SECTION_CLIENTS, .offset = offsetof(struct config_clients, member)
#define CERTIFICATE(member)                                                              \
    .section = SECTION_CERTIFICATE, .offset = offsetof(struct config_certificate, member)
#define BACKEND(member)                                                                  \
    .section = SECTION_BACKEND, .offset = offsetof(struct config_backend, member)
#define LIMIT(member)                                                                    \
    .section = SECTION_LIMITS, .type = KEY_DURATION,                                     \
    .offset = offsetof(struct config_limits, member)
#define LOG(member)        .section = SECTION_LOG, .offset = offsetof(struct config_log, member)
#define LINE(kind, member) .line_offset = offsetof(struct config_##kind, member)

const struct key keys_table[] = {
    {.name = "workers",
     PROXY(workers),
     .type = KEY_COUNT_OR_AUTO,
     .min = 1,
     .max = CONFIG_WORKERS_MAX,
     .standard = "auto",
     .help = "Worker processes; auto is one for each processor that Pawl may use"},
    {.name = "user",
     PROXY(user),
     LINE(proxy, user_line),
     .type = KEY_NAME,
     .standard = "nobody",
     .help = "The user that everything facing the network runs as; matters only when "
             "Pawl is started as root"},
    {.name = "strict",
     PROXY(strict),
     .type = KEY_BOOL,
     .standard = "no",
     .help = "Whether one certificate that cannot be served refuses a start or reload; "
             "if not, the others serve and the log has an error"},
    {.name = "watch",
     PROXY(watch),
     .type = KEY_BOOL,
     .standard = "yes",
     .help =
         "Whether certificates and keys are taken anew by themselves when their files "
         "change; a pair that does not fit keeps the one in service"},

    {.name = "window",
     TLS(window_ms),
     LINE(tls, window_line),
     .type = KEY_DURATION,
     .min = SECOND,
     .max = DAY,
     .standard = "1h",
     .help = "The forward-secrecy window: whatever is stolen from this machine opens no "
             "traffic older than this; from 5m up"},
    {.name = "tickets",
     TLS(tickets),
     .type = KEY_BOOL,
     .standard = "on",
     .help = "Whether TLS 1.3 clients may resume sessions, always with a fresh key "
             "exchange and within the window"},
    {.name = "tls12_max_lifetime",
     TLS(tls12_max_lifetime_ms),
     LINE(tls, tls12_max_lifetime_line),
     .type = KEY_DURATION_OR_WORD,
     .choices = lifetime_words,
     .min = SECOND,
     .max = 7 * DAY,
     .standard = "window",
     .help = "When a TLS 1.2 connection, whose keys cannot be renewed, is closed; longer "
             "than the window breaks the promise for that connection"},
    {.name = "unanswered_rekey",
     TLS(unanswered_rekey),
     LINE(tls, unanswered_rekey_line),
     .type = KEY_CHOICE,
     .choices = unanswered_words,
     .standard = "close",
     .help = "What becomes of a TLS 1.3 client that has not renewed its keys when the "
             "window is over; many libraries do so only when they next write, so a "
             "download that lasts longer than the window needs keep, which breaks the "
             "promise for that connection"},
    {.name = "min_version",
     TLS(min_version),
     .type = KEY_CHOICE,
     .choices = tls_version_words,
     .refusal = refusal_of_version,
     .standard = "1.2",
     .help = "The least version of TLS that is accepted"},
    {.name = "suites",
     TLS(suites),
     .type = KEY_CHOICES,
     .choices = tls_cipher_words,
     .refusal = refusal_of_suite,
     .standard = "AES-128-GCM, AES-256-GCM, CHACHA20-POLY1305",
     .help = "Cipher suites by their cipher, the preferred first; each stands for the "
             "TLS 1.3 suite and those of TLS 1.2 with ECDHE"},
    {.name = "groups",
     TLS(groups),
     LINE(tls, groups_line),
     .type = KEY_CHOICES,
     .choices = tls_group_words,
     .refusal = refusal_of_group,
     .standard = "X25519MLKEM768, X25519, secp256r1",
     .help = "Groups for the key exchange, the preferred first"},
    {.name = "unsafe_short_window",
     TLS(unsafe_short_window),
     .type = KEY_BOOL,
     .standard = "no",
     .help = "Allows windows under 5m, for tests: keys then change so often that little "
             "is resumed"},

    {.name = "address",
     LISTENER(addresses),
     LINE(listener, address_line),
     .type = KEY_LISTEN,
     .required = true,
     .sample = "*:443",
     .help = "Addresses to listen on, separated by commas; *:443 is port 443 of every "
             "address of the machine, IPv4 and IPv6"},
    {.name = "backend",
     LISTENER(backend_name),
     LINE(listener, backend_line),
     .type = KEY_NAME,
     .sample = "app",
     .help = "Name of the backend; may be left out when there is only one, or when only "
             "clients with a route shall be served"},
    {.name = "unknown_sni",
     LISTENER(unknown_sni),
     .type = KEY_CHOICE,
     .choices = unknown_sni_words,
     .standard = "default",
     .help = "What a client gets that asks for a name that no certificate and no route "
             "has: the default certificate, as without a name, or unrecognized_name"},
    {.name = "clients",
     LISTENER(clients_name),
     LINE(listener, clients_line),
     .type = KEY_NAME,
     .sample = "staff",
     .help = "Name of the policy for client certificates; without one none is asked for"},
    {.name = "alpn",
     LISTENER(alpn),
     .type = KEY_LIST,
     .check_item = list_check_protocol,
     .takes = "protocol, ...",
     .sample = "h2, http/1.1",
     .help = "Application protocols of the backend, the preferred first; a client that "
             "offers only others is refused"},
    {.name = "accept_proxy",
     LISTENER(accept_proxy),
     LINE(listener, accept_proxy_line),
     .type = KEY_BOOL,
     .standard = "no",
     .help =
         "Whether every connection begins with a PROXY protocol header (v1 or v2) of a "
         "load balancer, which says who the client is"},
    {.name = "proxy_networks",
     LISTENER(proxy_networks),
     .type = KEY_NETWORKS,
     .sample = "10.0.0.0/8, 192.168.1.1",
     .help = "With accept_proxy, the load balancers; connections of others are closed"},

    {.name = "listener",
     ROUTE(listener_name),
     LINE(route, listener_line),
     .type = KEY_NAME,
     .sample = "web",
     .help = "Name of the listener that the route belongs to; without one, all"},
    {.name = "sni",
     ROUTE(sni),
     LINE(route, sni_line),
     .type = KEY_LIST,
     .check_item = list_check_host,
     .takes = "name, *.name, ...",
     .sample = "api.example.com, *.api.example.com",
     .help = "The names that clients ask for; a star is one label; without the key any "
             "name or none"},
    {.name = "alpn",
     ROUTE(alpn),
     .type = KEY_LIST,
     .check_item = list_check_protocol,
     .takes = "protocol, ...",
     .sample = "h2, http/1.1",
     .help =
         "The route is for clients that offer one of these protocols, and they get the "
         "first of them; without the key it is for all, with the listener's protocols"},
    {.name = "backend",
     ROUTE(backend_name),
     LINE(route, backend_line),
     .type = KEY_NAME,
     .sample = "app",
     .help = "Name of the backend; without one, the listener's"},
    {.name = "certificate",
     ROUTE(certificates),
     LINE(route, certificates_line),
     .type = KEY_LIST,
     .check_item = keys_check_name,
     .takes = "name, ...",
     .sample = "main",
     .help = "Names of the certificates to choose from, the first for clients that none "
             "matches; without the key all"},
    {.name = "clients",
     ROUTE(clients_name),
     LINE(route, clients_line),
     .type = KEY_NAME,
     .sample = "staff",
     .help = "Name of the policy for client certificates; without one, the listener's"},

    {.name = "chain",
     CERTIFICATE(chain),
     LINE(certificate, chain_line),
     .type = KEY_PATH,
     .required = true,
     .unless = "directory",
     .sample = "/etc/pawl/fullchain.pem",
     .help = "PEM file with the certificate first, then the intermediate ones"},
    {.name = "key",
     CERTIFICATE(key),
     LINE(certificate, key_line),
     .type = KEY_PATH,
     .required = true,
     .unless = "directory",
     .sample = "/etc/pawl/privkey.pem",
     .help = "PEM file with the private key, and nothing else: the chain's file goes to "
             "the processes that face the network, the key's never does"},
    {.name = "staple",
     CERTIFICATE(staple),
     LINE(certificate, staple_line),
     .type = KEY_PATH,
     .is_aside = true,
     .sample = "/etc/pawl/ocsp.der",
     .help = "File with the OCSP response that clients get on request, in DER; somebody "
             "else fetches it, and a new one is taken by itself"},
    {.name = "directory",
     CERTIFICATE(directory),
     LINE(certificate, directory_line),
     .type = KEY_PATH,
     .is_aside = true,
     .sample = "/etc/letsencrypt/live",
     .help = "Instead of chain and key: a directory of certificates, or of one, as "
             "NAME/fullchain.pem and privkey.pem, NAME/tls.crt and tls.key, or NAME.pem "
             "or NAME.crt and NAME.key"},
    {.name = "default",
     CERTIFICATE(is_default),
     LINE(certificate, default_line),
     .type = KEY_BOOL,
     .standard = "no",
     .help =
         "Whether clients that ask for no name or an unknown one get this certificate; "
         "if no section says so, they get the first"},

    {.name = "ca",
     CLIENTS(ca),
     LINE(clients, ca_line),
     .type = KEY_PATH,
     .required = true,
     .sample = "/etc/pawl/clients-ca.pem",
     .help = "PEM file with the authorities whose certificates are accepted"},
    {.name = "mode",
     CLIENTS(mode),
     .type = KEY_CHOICE,
     .choices = clients_mode_words,
     .standard = "required",
     .help = "Whether a client without a certificate is refused; one with a wrong "
             "certificate always is"},
    {.name = "crl",
     CLIENTS(crl),
     LINE(clients, crl_line),
     .type = KEY_PATH,
     .sample = "/etc/pawl/clients-crl.pem",
     .help =
         "PEM or DER file with the lists of revoked certificates, one of each authority "
         "that signs clients"},
    {.name = "allow_cn",
     CLIENTS(allow_cn),
     .type = KEY_LIST,
     .check_item = list_check_common_name,
     .takes = "text, ...",
     .sample = "Alice Example",
     .help =
         "Common names that are accepted; with any allow key a certificate must match "
         "one entry of one of them"},
    {.name = "allow_dns",
     CLIENTS(allow_dns),
     .type = KEY_LIST,
     .check_item = list_check_host,
     .takes = "name, *.name, ...",
     .sample = "*.internal.example.com",
     .help = "DNS names that are accepted; a star is one label"},
    {.name = "allow_uri",
     CLIENTS(allow_uri),
     .type = KEY_LIST,
     .check_item = list_check_uri,
     .takes = "URI, URI/*, ...",
     .sample = "spiffe://example.com/web/*",
     .help =
         "URIs that are accepted, such as SPIFFE identities; a star at the end is one "
         "segment of the path"},
    {.name = "allow_email",
     CLIENTS(allow_email),
     .type = KEY_LIST,
     .check_item = list_check_mail,
     .takes = "address, *@domain, ...",
     .sample = "*@example.com",
     .help = "E-mail addresses that are accepted; a star is any mailbox of the domain"},
    {.name = "allow_ip",
     CLIENTS(allow_ip),
     .type = KEY_NETWORKS,
     .sample = "10.0.0.0/8",
     .help = "IP addresses in the certificate that are accepted, by network"},

    {.name = "address",
     BACKEND(addresses),
     LINE(backend, address_line),
     .type = KEY_CONNECT,
     .required = true,
     .sample = "127.0.0.1:3000",
     .help = "Addresses to connect to, separated by commas; the next is tried when one "
             "fails"},
    {.name = "wait",
     BACKEND(wait_ms),
     .type = KEY_DURATION,
     .min = 0,
     .max = 10 * MINUTE,
     .standard = "5s",
     .help = "How long a client waits for a backend that refuses connections, while Pawl "
             "tries again; with 0s each address is tried once"},
    {.name = "allow_remote_plaintext",
     BACKEND(allow_remote_plaintext),
     .type = KEY_BOOL,
     .standard = "no",
     .help =
         "Whether decrypted bytes may leave this machine; everybody on the way to the "
         "backend can read them"},
    {.name = "send_proxy",
     BACKEND(send_proxy),
     .type = KEY_CHOICE,
     .choices = send_proxy_words,
     .standard = "off",
     .help = "PROXY protocol header that tells the backend the client's address; v2-tls "
             "adds what is known of its TLS session and its certificate's common name"},
    {.name = "send_proxy_certificate",
     BACKEND(send_proxy_certificate),
     LINE(backend, send_proxy_certificate_line),
     .type = KEY_BOOL,
     .standard = "no",
     .help =
         "Whether v2-tls also holds the client's whole certificate, up to some 7 KiB"},

    {.name = "handshake_timeout",
     LIMIT(handshake_timeout_ms),
     .min = 100,
     .max = 10 * MINUTE,
     .standard = "10s",
     .help = "From accepting a client to the end of its TLS handshake"},
    {.name = "connect_timeout",
     LIMIT(connect_timeout_ms),
     .min = 10,
     .max = 10 * MINUTE,
     .standard = "5s",
     .help = "For one attempt to connect to one backend address"},
    {.name = "idle_timeout",
     LIMIT(idle_timeout_ms),
     .min = 100,
     .max = 7 * DAY,
     .standard = "10m",
     .help = "Without a byte in either direction"},
    {.name = "half_close_timeout",
     LIMIT(half_close_timeout_ms),
     .min = 100,
     .max = 7 * DAY,
     .standard = "1m",
     .help = "Without a byte once one side has said that it sends no more"},
    {.name = "linger_timeout",
     LIMIT(linger_timeout_ms),
     .min = 10,
     .max = MINUTE,
     .standard = "5s",
     .help = "For a client to take the last bytes of a closing connection"},
    {.name = "drain_timeout",
     LIMIT(drain_timeout_ms),
     .min = 0,
     .max = DAY,
     .standard = "30s",
     .help =
         "For the connections there are to end by themselves when Pawl is told to stop"},

    {.name = "level",
     LOG(level),
     .type = KEY_CHOICE,
     .choices = log_level_words,
     .standard = "info",
     .help = "The least important lines to write; info is one line for each connection"},
    {.name = "format",
     LOG(format),
     .type = KEY_CHOICE,
     .choices = log_format_words,
     .standard = "text",
     .help = "Lines for people or one JSON object each"},
};

const size_t keys_count = sizeof(keys_table) / sizeof(keys_table[0]);
