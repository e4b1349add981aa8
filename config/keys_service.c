#include "config/keys.h"

#include <assert.h>

#define SECOND ((uint64_t)1000)
#define MINUTE (60 * SECOND)

#define IN(kind, member)   .offset = offsetof(struct config_##kind, member)
#define LINE(kind, member) .line_offset = offsetof(struct config_##kind, member)

/* A choice is stored through an unsigned, whatever enum it is of. */
static_assert(sizeof(enum unknown_sni) == sizeof(unsigned), "enums are not unsigned");
static_assert(sizeof(enum clients_mode) == sizeof(unsigned), "enums are not unsigned");
static_assert(sizeof(enum balance) == sizeof(unsigned), "enums are not unsigned");
static_assert(sizeof(enum resolve) == sizeof(unsigned), "enums are not unsigned");
static_assert(sizeof(enum check_mode) == sizeof(unsigned), "enums are not unsigned");
static_assert(sizeof(enum send_proxy) == sizeof(unsigned), "enums are not unsigned");

/* In the order of the enums they stand for. */
static const char *const unknown_sni_words[] = {"default", "refuse", NULL};
static const char *const clients_mode_words[] = {"required", "optional", NULL};
static const char *const balance_words[] = {"round-robin", "least-connections", NULL};
static const char *const resolve_words[] = {"required", "eventually", NULL};
static const char *const check_words[] = {"off", "connect", "send", NULL};
static const char *const send_proxy_words[] = {"off", "v1", "v2", "v2-tls", NULL};

static const struct key listener_keys[] = {
    {.name = "address",
     IN(listener, addresses),
     LINE(listener, address_line),
     .type = KEY_LISTEN,
     .required = true,
     .sample = "*:443",
     .help = "Addresses to listen on, separated by commas; *:443 is port 443 of every "
             "address of the machine, IPv4 and IPv6"},
    {.name = "backend",
     IN(listener, backend_name),
     LINE(listener, backend_line),
     .type = KEY_NAME,
     .sample = "app",
     .help = "Name of the backend; may be left out when there is only one, or when only "
             "clients with a route shall be served"},
    {.name = "unknown_sni",
     IN(listener, unknown_sni),
     .type = KEY_CHOICE,
     .choices = unknown_sni_words,
     .standard = "default",
     .help = "What a client gets that asks for a name that no certificate and no route "
             "has: the default certificate, as without a name, or unrecognized_name"},
    {.name = "clients",
     IN(listener, clients_name),
     LINE(listener, clients_line),
     .type = KEY_NAME,
     .sample = "staff",
     .help = "Name of the policy for client certificates; without one none is asked for"},
    {.name = "alpn",
     IN(listener, alpn),
     .type = KEY_LIST,
     .check_item = list_check_protocol,
     .takes = "protocol, ...",
     .sample = "h2, http/1.1",
     .help = "Application protocols of the backend, the preferred first; a client that "
             "offers only others is refused"},
    {.name = "accept_proxy",
     IN(listener, accept_proxy),
     LINE(listener, accept_proxy_line),
     .type = KEY_BOOL,
     .standard = "no",
     .help =
         "Whether every connection begins with a PROXY protocol header (v1 or v2) of a "
         "load balancer, which says who the client is"},
    {.name = "proxy_networks",
     IN(listener, proxy_networks),
     .type = KEY_NETWORKS,
     .sample = "10.0.0.0/8, 192.168.1.1",
     .help = "With accept_proxy, the load balancers; connections of others are closed"},
};
const struct key_table keys_of_listener = KEY_TABLE(listener_keys);

static const struct key route_keys[] = {
    {.name = "listener",
     IN(route, listener_name),
     LINE(route, listener_line),
     .type = KEY_NAME,
     .sample = "web",
     .help = "Name of the listener that the route belongs to; without one, all"},
    {.name = "sni",
     IN(route, sni),
     LINE(route, sni_line),
     .type = KEY_LIST,
     .check_item = list_check_host,
     .takes = "name, *.name, ...",
     .sample = "api.example.com, *.api.example.com",
     .help = "The names that clients ask for; a star is one label; without the key any "
             "name or none"},
    {.name = "alpn",
     IN(route, alpn),
     .type = KEY_LIST,
     .check_item = list_check_protocol,
     .takes = "protocol, ...",
     .sample = "h2, http/1.1",
     .help =
         "The route is for clients that offer one of these protocols, and they get the "
         "first of them; without the key it is for all, with the listener's protocols"},
    {.name = "backend",
     IN(route, backend_name),
     LINE(route, backend_line),
     .type = KEY_NAME,
     .sample = "app",
     .help = "Name of the backend; without one, the listener's"},
    {.name = "certificate",
     IN(route, certificates),
     LINE(route, certificates_line),
     .type = KEY_LIST,
     .check_item = keys_check_name,
     .takes = "name, ...",
     .sample = "main",
     .help = "Names of the certificates to choose from, the first for clients that none "
             "matches; without the key all"},
    {.name = "clients",
     IN(route, clients_name),
     LINE(route, clients_line),
     .type = KEY_NAME,
     .sample = "staff",
     .help = "Name of the policy for client certificates; without one, the listener's"},
};
const struct key_table keys_of_route = KEY_TABLE(route_keys);

static const struct key certificate_keys[] = {
    {.name = "chain",
     IN(certificate, chain),
     LINE(certificate, chain_line),
     .type = KEY_PATH,
     .required = true,
     .unless = "directory",
     .sample = "/etc/pawl/fullchain.pem",
     .help = "PEM file with the certificate first, then the intermediate ones"},
    {.name = "key",
     IN(certificate, key),
     LINE(certificate, key_line),
     .type = KEY_PATH,
     .required = true,
     .unless = "directory",
     .sample = "/etc/pawl/privkey.pem",
     .help = "PEM file with the private key, and nothing else: the chain's file goes to "
             "the processes that face the network, the key's never does"},
    {.name = "passphrase_file",
     IN(certificate, passphrase_file),
     LINE(certificate, passphrase_file_line),
     .type = KEY_PATH,
     .is_aside = true,
     .sample = "/etc/pawl/passphrase",
     .help = "File with the passphrase of an encrypted key (PKCS #8 with PBKDF2 and "
             "AES-CBC), or of all such keys of the directory; opening one takes up to 70 "
             "ms for 100000 of its iterations, at every start, reload and renewal, and "
             "handshakes wait"},
    {.name = "passphrase_command",
     IN(certificate, passphrase_command),
     LINE(certificate, passphrase_command_line),
     .type = KEY_COMMAND,
     .is_aside = true,
     .sample = "/usr/bin/systemd-creds decrypt /etc/pawl/passphrase.cred -",
     .help = "Instead of passphrase_file: a command that prints it, run without shell or "
             "terminal as the user who starts Pawl, at every start, reload and renewal; "
             "it is killed after 10s, and meanwhile the master does nothing else"},
    {.name = "staple",
     IN(certificate, staple),
     LINE(certificate, staple_line),
     .type = KEY_PATH,
     .is_aside = true,
     .sample = "/etc/pawl/ocsp.der",
     .help = "File with the OCSP response that clients get on request, in DER; somebody "
             "else fetches it, and a new one is taken by itself"},
    {.name = "directory",
     IN(certificate, directory),
     LINE(certificate, directory_line),
     .type = KEY_PATH,
     .is_aside = true,
     .sample = "/etc/letsencrypt/live",
     .help = "Instead of chain and key: a directory of certificates, or of one, as "
             "NAME/fullchain.pem and privkey.pem, NAME/tls.crt and tls.key, or NAME.pem "
             "or NAME.crt and NAME.key"},
    {.name = "default",
     IN(certificate, is_default),
     LINE(certificate, default_line),
     .type = KEY_BOOL,
     .standard = "no",
     .help =
         "Whether clients that ask for no name or an unknown one get this certificate; "
         "if no section says so, they get the first"},
};
const struct key_table keys_of_certificate = KEY_TABLE(certificate_keys);

static const struct key clients_keys[] = {
    {.name = "ca",
     IN(clients, ca),
     LINE(clients, ca_line),
     .type = KEY_PATH,
     .required = true,
     .sample = "/etc/pawl/clients-ca.pem",
     .help = "PEM file with the authorities whose certificates are accepted"},
    {.name = "mode",
     IN(clients, mode),
     .type = KEY_CHOICE,
     .choices = clients_mode_words,
     .standard = "required",
     .help = "Whether a client without a certificate is refused; one with a wrong "
             "certificate always is"},
    {.name = "crl",
     IN(clients, crl),
     LINE(clients, crl_line),
     .type = KEY_PATH,
     .sample = "/etc/pawl/clients-crl.pem",
     .help =
         "PEM or DER file with the lists of revoked certificates, one of each authority "
         "that signs clients"},
    {.name = "allow_cn",
     IN(clients, allow_cn),
     .type = KEY_LIST,
     .check_item = list_check_common_name,
     .takes = "text, ...",
     .sample = "Alice Example",
     .help =
         "Common names that are accepted; with any allow key a certificate must match "
         "one entry of one of them"},
    {.name = "allow_dns",
     IN(clients, allow_dns),
     .type = KEY_LIST,
     .check_item = list_check_host,
     .takes = "name, *.name, ...",
     .sample = "*.internal.example.com",
     .help = "DNS names that are accepted; a star is one label"},
    {.name = "allow_uri",
     IN(clients, allow_uri),
     .type = KEY_LIST,
     .check_item = list_check_uri,
     .takes = "URI, URI/*, ...",
     .sample = "spiffe://example.com/web/*",
     .help =
         "URIs that are accepted, such as SPIFFE identities; a star at the end is one "
         "segment of the path"},
    {.name = "allow_email",
     IN(clients, allow_email),
     .type = KEY_LIST,
     .check_item = list_check_mail,
     .takes = "address, *@domain, ...",
     .sample = "*@example.com",
     .help = "E-mail addresses that are accepted; a star is any mailbox of the domain"},
    {.name = "allow_ip",
     IN(clients, allow_ip),
     .type = KEY_NETWORKS,
     .sample = "10.0.0.0/8",
     .help = "IP addresses in the certificate that are accepted, by network"},
};
const struct key_table keys_of_clients = KEY_TABLE(clients_keys);

static const struct key backend_keys[] = {
    {.name = "address",
     IN(backend, addresses),
     LINE(backend, address_line),
     .type = KEY_CONNECT,
     .required = true,
     .sample = "127.0.0.1:3000",
     .help = "Addresses to connect to, separated by commas; the next is tried when one "
             "fails; a host name stands for all its addresses, and is resolved again and "
             "again"},
    {.name = "balance",
     IN(backend, balance),
     .type = KEY_CHOICE,
     .choices = balance_words,
     .standard = "round-robin",
     .help =
         "Which of several addresses is next: each in turn, or the one with the fewest "
         "sessions, which suits long-lived ones; each worker counts its own"},
    {.name = "wait",
     IN(backend, wait_ms),
     .type = KEY_DURATION,
     .min = 0,
     .max = 10 * MINUTE,
     .standard = "5s",
     .help = "How long a client waits for a backend that refuses connections, while Pawl "
             "tries again; with 0s each address is tried once"},
    {.name = "rest_after_failure",
     IN(backend, rest_ms),
     .type = KEY_DURATION,
     .min = 0,
     .max = 10 * MINUTE,
     .standard = "10s",
     .help = "How long at most an address that failed is tried after the others only; it "
             "begins with 1s and doubles with each further failure; 0s: not at all"},
    {.name = "resolve",
     IN(backend, resolve),
     .type = KEY_CHOICE,
     .choices = resolve_words,
     .standard = "required",
     .help = "Whether a host name that cannot be resolved refuses a start or reload; one "
             "that was resolved before keeps its addresses in any case"},
    {.name = "resolve_interval",
     IN(backend, resolve_interval_ms),
     .type = KEY_DURATION,
     .min = SECOND,
     .max = 24 * 60 * MINUTE,
     .standard = "30s",
     .help = "How often host names are resolved again"},
    {.name = "check",
     IN(backend, check.mode),
     LINE(backend, check_line),
     .type = KEY_CHOICE,
     .choices = check_words,
     .standard = "off",
     .help = "How each address is asked whether it is well: by connecting, or by sending "
             "check_send and waiting for check_expect; every worker asks for itself"},
    {.name = "check_send",
     IN(backend, check.send),
     LINE(backend, check_send_line),
     .type = KEY_BYTES,
     .is_aside = true,
     .sample = "PING\\r\\n",
     .help = "What check = send sends; without it the backend speaks first"},
    {.name = "check_expect",
     IN(backend, check.expect),
     LINE(backend, check_expect_line),
     .type = KEY_BYTES,
     .is_aside = true,
     .sample = "+PONG",
     .help = "What the answer to check = send must begin with"},
    {.name = "check_interval",
     IN(backend, check.interval_ms),
     .type = KEY_DURATION,
     .min = 100,
     .max = 60 * MINUTE,
     .standard = "2s",
     .help = "The pause between two checks of an address"},
    {.name = "check_timeout",
     IN(backend, check.timeout_ms),
     .type = KEY_DURATION,
     .min = 10,
     .max = MINUTE,
     .standard = "1s",
     .help = "How long a check may take; after that it has failed"},
    {.name = "rise",
     IN(backend, check.rise),
     .type = KEY_COUNT,
     .min = 1,
     .max = 100,
     .standard = "2",
     .help = "How many good checks in a row bring an address that is down up again"},
    {.name = "fall",
     IN(backend, check.fall),
     .type = KEY_COUNT,
     .min = 1,
     .max = 100,
     .standard = "3",
     .help =
         "How many bad checks in a row take an address down; it gets no clients then"},
    {.name = "required",
     IN(backend, required),
     .type = KEY_BOOL,
     .standard = "yes",
     .help = "Whether /readyz says no while every worker knows this backend to be down"},
    {.name = "allow_remote_plaintext",
     IN(backend, allow_remote_plaintext),
     .type = KEY_BOOL,
     .standard = "no",
     .help =
         "Whether decrypted bytes may leave this machine; everybody on the way to the "
         "backend can read them"},
    {.name = "send_proxy",
     IN(backend, send_proxy),
     .type = KEY_CHOICE,
     .choices = send_proxy_words,
     .standard = "off",
     .help = "PROXY protocol header that tells the backend the client's address; v2-tls "
             "adds what is known of its TLS session and its certificate's common name"},
    {.name = "send_proxy_certificate",
     IN(backend, send_proxy_certificate),
     LINE(backend, send_proxy_certificate_line),
     .type = KEY_BOOL,
     .standard = "no",
     .help =
         "Whether v2-tls also holds the client's whole certificate, up to some 7 KiB"},
};
const struct key_table keys_of_backend = KEY_TABLE(backend_keys);
