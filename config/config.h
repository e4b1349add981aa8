/*
 * The configuration as every process sees it: plain structs filled from the INI text by
 * the one table in keys.c.  Immutable once read.  All problems of a text are reported in
 * one pass, each with file and line.
 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/cert_set.h"
#include "config/list.h"
#include "config/value.h"
#include "proxy/error.h"
#include "proxy/log.h"

enum {
    CONFIG_TEXT_MAX = 4 * 1024 * 1024, /* bytes of INI text */
    CONFIG_NAME_MAX = 64,              /* of a section's name, with its NUL */
    CONFIG_TITLE_MAX = 320, /* the same with that of an entry of its directory */
    CONFIG_WORKERS_MAX = 256,
    CONFIG_HOSTS_MAX = 64, /* host names of backends, counted wherever they stand */
    CONFIG_CERTIFICATES_MAX = CERT_SET_MAX,
    CONFIG_CHAIN_MAX = 256 * 1024, /* bytes of a certificate chain file */
    CONFIG_KEY_MAX = 64 * 1024,    /* bytes of a private key file */
    CONFIG_PASSPHRASE_MAX = 1024,  /* bytes of a private key's passphrase */
    CONFIG_STAPLE_MAX = 64 * 1024, /* bytes of an OCSP response */
    CONFIG_CA_MAX = 1024 * 1024,   /* bytes of a file of client CAs */
    CONFIG_CRL_MAX = 16 * 1024 * 1024,
};

/* The name of the blob that holds the INI text itself; its bytes are preceded by nothing.
 */
#define CONFIG_BLOB_TEXT "config.text"
/* The name of the blob that holds the path that messages give for the text. */
#define CONFIG_BLOB_FILE "config.file"

/* The name of the blob that says what the directories of certificates hold: see expand.h.
 */
#define CONFIG_BLOB_INDEX "config.index"
/* The name of the blob that holds a struct cert_set: the certificates that are not to be
 * served, and whose files need not be in the bundle.  No such blob: none. */
#define CONFIG_BLOB_LEFT_OUT "config.left_out"

enum send_proxy { SEND_PROXY_OFF, SEND_PROXY_V1, SEND_PROXY_V2, SEND_PROXY_V2_TLS };

/* An ordered choice among the words of a key, without repetition. */
enum { CHOICE_LIST_MAX = 16 };

struct choice_list {
    uint8_t items[CHOICE_LIST_MAX];
    size_t count;
};

struct config_section {
    char name[CONFIG_TITLE_MAX]; /* "" for the sections that have none */
    unsigned line;               /* of the section header; 0: not in the text */
};

#define CONTROL_AUTO "auto"
#define CONTROL_OFF  "off"
/* Parts of the roles' sandbox that a machine may not have; the operator can allow that.
 */
enum sandbox_part { SANDBOX_USER, SANDBOX_LANDLOCK, SANDBOX_SECCOMP };
enum { SANDBOX_PARTS = SANDBOX_SECCOMP + 1 };

struct config_proxy {
    struct config_section section;
    uint64_t workers; /* as configured; 0 = auto, one for each processor */
    char *user;       /* whom the roles run as when the master is root; never NULL */
    unsigned user_line;
    bool strict;   /* one certificate that cannot be served refuses the configuration */
    bool watch;    /* certificates follow their files by themselves */
    char *control; /* path of the operator's socket, or one of the words below; never NULL
                    */
    unsigned control_line;
    struct choice_list unsafe_without; /* of enum sandbox_part, in any order */
    unsigned unsafe_without_line;
};

/* What TLS may negotiate.  Configuration narrows and orders it, never widens. */
enum tls_version { TLS_1_2, TLS_1_3 };

/* What becomes of a client that was asked to renew its keys and did not. */
enum tls_unanswered { UNANSWERED_CLOSE, UNANSWERED_KEEP };

/* The cipher of a suite.  Its key exchange is ECDHE always, and whether it signs with
 * ECDSA or RSA follows from the certificate. */
enum tls_cipher {
    CIPHER_AES_128_GCM,
    CIPHER_AES_256_GCM,
    CIPHER_CHACHA20_POLY1305,
    CIPHER_COUNT
};

enum tls_group { GROUP_X25519MLKEM768, GROUP_X25519, GROUP_SECP256R1, GROUP_COUNT };

/* What tls12_max_lifetime can be besides milliseconds. */
enum { LIFETIME_WINDOW = 0 };
#define LIFETIME_UNLIMITED UINT64_MAX

struct config_tls {
    struct config_section section;
    bool tickets;
    uint64_t window_ms; /* the forward-secrecy window: see certs/ticket_keys.h */
    unsigned window_line;
    bool unsafe_short_window;       /* for tests: windows under five minutes */
    uint64_t tls12_max_lifetime_ms; /* after config_read: never LIFETIME_WINDOW */
    unsigned tls12_max_lifetime_line;
    enum tls_version min_version;
    enum tls_unanswered unanswered_rekey;
    unsigned unanswered_rekey_line;
    struct choice_list suites; /* of enum tls_cipher, in the server's order */
    struct choice_list groups; /* of enum tls_group */
    unsigned groups_line;
};

/* What a client gets that asks for a name of which there is no certificate. */
enum unknown_sni { UNKNOWN_SNI_DEFAULT, UNKNOWN_SNI_REFUSE };

struct config_listener {
    struct config_section section;
    struct address_list addresses;
    unsigned address_line;
    char *backend_name; /* NULL: the only one */
    unsigned backend_line;
    const struct config_backend *backend; /* borrowed from the same config; NULL: only
                                             clients with a route are served */
    enum unknown_sni unknown_sni;
    struct text_list alpn; /* protocols in the server's order; empty: none is spoken of */
    bool accept_proxy;     /* a load balancer says who the client is */
    unsigned accept_proxy_line;
    struct network_list proxy_networks; /* of such load balancers */
    char *clients_name;                 /* NULL: no client certificate is asked for */
    unsigned clients_line;
    const struct config_clients *clients; /* borrowed; NULL: as above */
};

/*
 * Which clients of a listener get something else than the listener says.  What a route
 * leaves out is the listener's.
 */
struct config_route {
    struct config_section section;
    char *listener_name; /* NULL: all */
    unsigned listener_line;
    const struct config_listener *listener; /* borrowed; NULL: all */
    struct text_list sni; /* exact names and one-label wildcards; empty: any or none */
    unsigned sni_line;
    struct text_list alpn; /* the route is for clients that offer one of these */
    char *backend_name;
    unsigned backend_line;
    const struct config_backend *backend; /* borrowed; NULL: the listener's */
    struct text_list certificates;        /* names; empty: all */
    unsigned certificates_line;
    char *clients_name;
    unsigned clients_line;
    const struct config_clients *clients; /* borrowed; NULL: the listener's */
};

enum clients_mode { CLIENTS_REQUIRED, CLIENTS_OPTIONAL };

/* Who may connect, by certificate: one policy. */
struct config_clients {
    struct config_section section;
    char *ca; /* path, PEM: the authorities whose certificates are accepted */
    unsigned ca_line;
    enum clients_mode mode;
    char *crl; /* path, PEM or DER; NULL: nothing is revoked */
    unsigned crl_line;
    struct text_list allow_cn;  /* with all allow lists empty every certificate of the */
    struct text_list allow_dns; /* authorities will do, else one match in any list */
    struct text_list allow_uri;
    struct text_list allow_email;
    struct network_list allow_ip;
};

struct config_certificate {
    struct config_section section;
    char *chain; /* path: leaf first, then intermediates; PEM */
    unsigned chain_line;
    char *key; /* path, PEM; the private key alone */
    unsigned key_line;
    char *passphrase_file; /* path; NULL: none, as below */
    unsigned passphrase_file_line;
    char *passphrase_command; /* see passphrase.h */
    unsigned passphrase_command_line;
    char *staple; /* path: an OCSP response, DER; NULL: none */
    unsigned staple_line;
    char *directory; /* path; of a section: instead of chain and key; of one of the
                        certificates in it: where it was found; NULL: neither */
    unsigned directory_line;
    bool is_default; /* for clients without SNI or with an unknown one; if no section says
                        so, the first in the text */
    unsigned default_line;
    bool left_out; /* not to be served, and reported already: see CONFIG_BLOB_LEFT_OUT */
};

/* Which of the addresses gets the next session. */
enum balance { BALANCE_ROUND_ROBIN, BALANCE_LEAST_CONNECTIONS };

/* Whether names must resolve before a configuration is served. */
enum resolve { RESOLVE_REQUIRED, RESOLVE_EVENTUALLY };

enum check_mode { CHECK_OFF, CHECK_CONNECT, CHECK_SEND };

/* How each address of a backend is asked whether it is well. */
struct config_check {
    enum check_mode mode;
    struct byte_text send;   /* empty: the backend speaks first */
    struct byte_text expect; /* what its answer begins with */
    uint64_t interval_ms;
    uint64_t timeout_ms;
    uint64_t rise; /* good answers in a row that make an address be used again */
    uint64_t fall; /* bad ones that end its use */
};

struct config_backend {
    struct config_section section;
    struct address_list addresses; /* names to resolve among them */
    unsigned address_line;
    enum balance balance;
    uint64_t rest_ms; /* the longest that an address which failed is tried last */
    enum resolve resolve;
    uint64_t resolve_interval_ms;
    struct config_check check;
    unsigned check_line;
    unsigned check_expect_line;
    unsigned check_send_line;
    uint64_t wait_ms; /* how long a client waits for a backend that refuses; 0 = one try
                         of each address */
    bool allow_remote_plaintext;
    bool required; /* without it Pawl is not ready */
    enum send_proxy send_proxy;
    bool send_proxy_certificate; /* of the client, whole */
    unsigned send_proxy_certificate_line;
};

struct config_limits {
    struct config_section section;
    uint64_t handshake_timeout_ms;   /* from accept to the end of the handshake */
    uint64_t connect_timeout_ms;     /* one attempt at a backend address */
    uint64_t idle_timeout_ms;        /* no byte in either direction */
    uint64_t half_close_timeout_ms;  /* the same once one side has ended */
    uint64_t linger_timeout_ms;      /* for the peer to take the last bytes */
    uint64_t lame_duck_ms;           /* accepting goes on that long after TERM */
    uint64_t drain_timeout_ms;       /* from then to the last session's end */
    uint64_t connections;            /* 0: as many as descriptors allow */
    uint64_t accept_rate;            /* new connections in a second; 0: any number */
    uint64_t connections_per_source; /* 0: see limits.c; UINT64_MAX: any number */
    uint64_t handshakes_per_source;  /* in progress; 0: any number */
    uint64_t failed_handshakes;      /* of a source before its penalty; 0: any number */
    uint64_t penalty_ms;
    uint64_t source_prefix_v4; /* bits of an address that make a source */
    uint64_t source_prefix_v6;
    bool exempt_private;        /* private addresses have no limit per source */
    struct network_list exempt; /* nor have these */
};

struct config_log {
    struct config_section section;
    enum log_level level;
    enum log_format format;
    enum log_place target;
    unsigned target_line;
    char *syslog_socket; /* path */
    enum log_facility syslog_facility;
    uint64_t repeat_limit; /* equal lines a second; 0: all */
};

/* Where Pawl says over HTTP how it is doing. */
struct config_admin {
    struct config_section section;
    struct address_list addresses; /* none: nowhere */
    unsigned address_line;
    bool allow_remote;
};

struct config {
    char *file; /* as messages name it */
    struct config_proxy proxy;
    struct config_tls tls;
    struct config_limits limits;
    struct config_log log;
    struct config_admin admin;
    struct config_listener *listeners; /* owned arrays, in the order of the text */
    size_t listener_count;
    struct config_route *routes;
    size_t route_count;
    struct config_clients *clients;
    size_t clients_count;
    struct config_certificate *certificates;
    size_t certificate_count;
    struct config_backend *backends;
    size_t backend_count;
};

/* Reads `text` (need not end in NUL) as the file named `file`.  Returns what could be
 * understood even when errors were reported, so that later checks can add theirs to the
 * same report; NULL only without memory.  Usable for serving only if the report gained no
 * error.  Relative paths are taken from the directory of `file`. */
struct config *config_read(const char *text, size_t length, const char *file,
                           struct report *report) MUST_CHECK;

/* The same from the blobs of a bundle. */
struct bundle;
struct config *config_read_bundle(const struct bundle *bundle,
                                  struct report *report) MUST_CHECK;

/* Number of workers: as configured, or the processors this process may use, at most
 * CONFIG_WORKERS_MAX. */
unsigned config_worker_count(const struct config *config);

/* The parts that unsafe_without names, as bits by enum sandbox_part. */
uint32_t config_may_lack(const struct config *config);

void config_free(struct config *config);

#endif
