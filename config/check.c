#include "config/check.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "config/references.h"

/* One configuration while it is checked. */
struct check {
    struct config *config; /* borrowed */
    struct report *report; /* borrowed */
    bool memory_short;
};

/* An address and the listener that has it. */
struct listener_address {
    const struct address *address;
    const struct config_listener *listener;
};

static void check_listener_addresses(struct check *check);
static void check_listener_address(struct check *check, void **tree,
                                   const struct listener_address *place);
static void check_defaults(struct check *check);
static void check_directory(struct check *check,
                            const struct config_certificate *certificate);
static void check_control(struct check *check);
static void check_passphrase(struct check *check,
                             const struct config_certificate *certificate);
static void check_tls(struct check *check);
static void warn_of_longer_secrets(struct check *check);
static void check_balancers(struct check *check, const struct config_listener *listener);
static bool has_choice_in(const struct choice_list *list, unsigned first, unsigned last);
static void check_plaintext(struct check *check, const struct config_backend *backend);
static void check_health(struct check *check, const struct config_backend *backend);
static void check_names(struct check *check);
static void check_send_proxy(struct check *check, const struct config_backend *backend);
static void check_admin(struct check *check);
static int place_compare(const void *a, const void *b);
static void keep(void *node);

#define CHECK_ERROR(check, line, ...)                                                    \
    report_add((check)->report, REPORT_ERROR, (check)->config->file, line, __VA_ARGS__)

void check_config(struct config *config, struct report *report)
{
    struct check check = {.config = config, .report = report};
    check.memory_short = !check_references(config, report);
    for (size_t i = 0; i < config->listener_count; i++) {
        check_balancers(&check, &config->listeners[i]);
    }
    if (config->certificate_count > CONFIG_CERTIFICATES_MAX) {
        CHECK_ERROR(&check, config->certificates[CONFIG_CERTIFICATES_MAX].section.line,
                    "there are more than %d certificates", CONFIG_CERTIFICATES_MAX);
    }
    for (size_t i = 0; i < config->certificate_count; i++) {
        check_directory(&check, &config->certificates[i]);
        check_passphrase(&check, &config->certificates[i]);
    }
    check_control(&check);
    check_tls(&check);
    check_listener_addresses(&check);
    check_defaults(&check);
    for (size_t i = 0; i < config->backend_count; i++) {
        check_plaintext(&check, &config->backends[i]);
        check_send_proxy(&check, &config->backends[i]);
        check_health(&check, &config->backends[i]);
    }
    check_names(&check);
    check_admin(&check);
    if (check.memory_short) {
        CHECK_ERROR(&check, 0, "there is no memory to check it");
    }
}

static void check_listener_addresses(struct check *check)
{
    const struct config *config = check->config;
    size_t count = 0;
    for (size_t i = 0; i < config->listener_count; i++) {
        count += config->listeners[i].addresses.count;
    }
    struct listener_address *places = calloc(count + 1, sizeof(*places));
    if (places == NULL) {
        check->memory_short = true;
        return;
    }
    void *tree = NULL;
    struct listener_address *place = places;
    for (size_t i = 0; i < config->listener_count; i++) {
        const struct config_listener *listener = &config->listeners[i];
        for (size_t j = 0; j < listener->addresses.count; j++) {
            *place = (struct listener_address){&listener->addresses.items[j], listener};
            check_listener_address(check, &tree, place++);
        }
    }
    tdestroy(tree, keep);
    free(places);
}

static void check_listener_address(struct check *check, void **tree,
                                   const struct listener_address *place)
{
    const struct listener_address *const *node = tsearch(place, tree, place_compare);
    if (node == NULL) {
        check->memory_short = true;
    } else if (*node != place) {
        const struct config_listener *first = (*node)->listener;
        CHECK_ERROR(
            check, place->listener->address_line,
            "listener \"%s\": %s is already an address of listener \"%s\" in line %u",
            place->listener->section.name, place->address->text, first->section.name,
            first->address_line);
    }
}

static void check_defaults(struct check *check)
{
    const struct config *config = check->config;
    const struct config_certificate *first = NULL;
    for (size_t i = 0; i < config->certificate_count; i++) {
        const struct config_certificate *certificate = &config->certificates[i];
        if (certificate->is_default && first != NULL) {
            CHECK_ERROR(
                check, certificate->default_line,
                "certificate \"%s\": the default is already certificate \"%s\" in "
                "line %u",
                certificate->section.name, first->section.name, first->default_line);
        } else if (certificate->is_default) {
            first = certificate;
        }
    }
}

static void check_directory(struct check *check,
                            const struct config_certificate *certificate)
{
    if (certificate->directory_line != 0 &&
        (certificate->chain_line != 0 || certificate->key_line != 0 ||
         certificate->staple_line != 0)) {
        CHECK_ERROR(
            check, certificate->directory_line,
            "certificate \"%s\": directory stands instead of chain, key and staple; "
            "write one or the other",
            certificate->section.name);
    }
}

static void check_passphrase(struct check *check,
                             const struct config_certificate *certificate)
{
    if (certificate->passphrase_file != NULL && certificate->passphrase_command != NULL) {
        CHECK_ERROR(check, certificate->passphrase_command_line,
                    "certificate \"%s\": passphrase_command stands instead of "
                    "passphrase_file; write one or the other",
                    certificate->section.name);
    }
}

/* The bytes that TLS protected on their way here go on in the clear. */
static void check_plaintext(struct check *check, const struct config_backend *backend)
{
    for (size_t i = 0; i < backend->addresses.count; i++) {
        const struct address *address = &backend->addresses.items[i];
        /* Where a name leads is looked at whenever it is resolved. */
        if (!backend->allow_remote_plaintext && !address_is_name(address) &&
            !address_is_local(address)) {
            CHECK_ERROR(check, backend->address_line,
                        "backend \"%s\": %s is another machine, and everybody on the way "
                        "could read what Pawl has decrypted (if that network is trusted, "
                        "write allow_remote_plaintext = yes)",
                        backend->section.name, address->text);
        }
    }
}

/* Somebody who wrote these believes that they do something. */
static void check_health(struct check *check, const struct config_backend *backend)
{
    const char *name = backend->section.name;
    if (backend->check.mode == CHECK_SEND && backend->check_expect_line == 0) {
        CHECK_ERROR(check, backend->check_line,
                    "backend \"%s\": check = send needs check_expect, the beginning of a "
                    "good answer",
                    name);
    }
    if (backend->check.mode != CHECK_SEND &&
        (backend->check_expect_line != 0 || backend->check_send_line != 0)) {
        CHECK_ERROR(check,
                    backend->check_expect_line != 0 ? backend->check_expect_line
                                                    : backend->check_send_line,
                    "backend \"%s\": check_send and check_expect need check = send",
                    name);
    }
}

/* Each may be in the middle of being resolved. */
static void check_names(struct check *check)
{
    const struct config *config = check->config;
    size_t names = 0;
    for (size_t i = 0; i < config->backend_count; i++) {
        const struct address_list *list = &config->backends[i].addresses;
        for (size_t j = 0; j < list->count; j++) {
            names += address_is_name(&list->items[j]);
            if (names > CONFIG_HOSTS_MAX) {
                CHECK_ERROR(check, config->backends[i].address_line,
                            "the backends have more than %d host names",
                            CONFIG_HOSTS_MAX);
                return;
            }
        }
    }
}

/* What it says is for the operator, and nothing protects it on the way. */
static void check_admin(struct check *check)
{
    const struct config_admin *admin = &check->config->admin;
    for (size_t i = 0; i < admin->addresses.count; i++) {
        const struct address *address = &admin->addresses.items[i];
        if (!admin->allow_remote && !address_is_local(address)) {
            CHECK_ERROR(check, admin->address_line,
                        "admin: other machines can connect to %s and read everything "
                        "about this one (if that is wanted, write allow_remote = yes)",
                        address->text);
        }
    }
}

static void check_send_proxy(struct check *check, const struct config_backend *backend)
{
    if (backend->send_proxy_certificate && backend->send_proxy != SEND_PROXY_V2_TLS) {
        CHECK_ERROR(check, backend->send_proxy_certificate_line,
                    "backend \"%s\": send_proxy_certificate needs send_proxy = v2-tls",
                    backend->section.name);
    }
}

static int place_compare(const void *a, const void *b)
{
    const struct listener_address *left = a;
    const struct listener_address *right = b;
    return address_compare(left->address, right->address);
}

/* The trees only borrow what they order. */
static void keep(void *node)
{
    (void)node;
}

/* What narrowing must leave, and the lifetimes that follow from each other. */
/* A socket's path has less room than a file's. */
static void check_control(struct check *check)
{
    const struct config_proxy *proxy = &check->config->proxy;
    const size_t room = sizeof(((struct sockaddr_un *)0)->sun_path);
    if (proxy->control != NULL && strlen(proxy->control) >= room) {
        CHECK_ERROR(check, proxy->control_line,
                    "\"control\" is too long for a socket's path, which has at most %zu "
                    "bytes: %s",
                    room - 1, proxy->control);
    }
}

static void check_tls(struct check *check)
{
    struct config_tls *tls = &check->config->tls;
    const uint64_t least_window_ms = (uint64_t)5 * 60 * 1000;
    if (tls->window_ms < least_window_ms && !tls->unsafe_short_window) {
        CHECK_ERROR(check, tls->window_line,
                    "window is under 5m, which leaves hardly a session to resume; tests "
                    "allow it with unsafe_short_window = yes");
    }
    if (tls->min_version == TLS_1_2 &&
        !has_choice_in(&tls->groups, GROUP_X25519, GROUP_SECP256R1)) {
        CHECK_ERROR(check, tls->groups_line,
                    "groups has none for TLS 1.2 (X25519, secp256r1); set min_version = "
                    "1.3 with it");
    }
    if (tls->tls12_max_lifetime_ms == LIFETIME_WINDOW) {
        tls->tls12_max_lifetime_ms = tls->window_ms;
    }
    warn_of_longer_secrets(check);
}

static void warn_of_longer_secrets(struct check *check)
{
    const struct config_tls *tls = &check->config->tls;
    if (tls->tls12_max_lifetime_ms > tls->window_ms && tls->min_version == TLS_1_2) {
        report_add(check->report, REPORT_WARNING, check->config->file,
                   tls->tls12_max_lifetime_line,
                   "tls12_max_lifetime is longer than the window: the promise does not "
                   "hold for the TLS 1.2 connections that last longer");
    }
    if (tls->unanswered_rekey == UNANSWERED_KEEP) {
        report_add(check->report, REPORT_WARNING, check->config->file,
                   tls->unanswered_rekey_line,
                   "unanswered_rekey = keep: the promise does not hold for clients that "
                   "do not renew their keys");
    }
}

/* Who may name clients may name any. */
static void check_balancers(struct check *check, const struct config_listener *listener)
{
    if (listener->accept_proxy && listener->proxy_networks.count == 0) {
        CHECK_ERROR(
            check, listener->accept_proxy_line,
            "listener \"%s\": accept_proxy needs proxy_networks, the addresses of "
            "the load balancers to believe (such as 10.0.0.0/8)",
            listener->section.name);
    }
}

static bool has_choice_in(const struct choice_list *list, unsigned first, unsigned last)
{
    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i] >= first && list->items[i] <= last) {
            return true;
        }
    }
    return false;
}
