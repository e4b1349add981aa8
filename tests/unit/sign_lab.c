#include "tests/unit/sign_lab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <wolfssl/wolfcrypt/error-crypt.h>

#include "proxy/log.h"

struct sign_lab sign_lab;

int sign_lab_open(void **state)
{
    (void)state;
    struct report report = {0};
    size_t size = 0;
    wolfSSL_Init();
    log_configure(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    lab_open(&sign_lab.lab);
    lab_authorities(&sign_lab.lab);
    lab_chain(&sign_lab.lab, "p256", "p256", "DNS:p256.test");
    lab_chain(&sign_lab.lab, "p384", "p384", "DNS:p384.test");
    lab_chain(&sign_lab.lab, "ed25519", "ed25519", "DNS:ed25519.test");
    lab_chain(&sign_lab.lab, "rsa", "rsa2048", "DNS:rsa.test");
    lab_section(&sign_lab.lab, "p256");
    lab_section(&sign_lab.lab, "p384");
    lab_section(&sign_lab.lab, "ed25519");
    lab_section(&sign_lab.lab, "rsa");
    sign_lab.chains = lab_chains(&sign_lab.lab);
    sign_lab.keys = lab_keys(&sign_lab.lab);
    sign_lab.lab.config.tls = tls_policy_widest;
    sign_lab.store = certstore_new(&sign_lab.lab.config, sign_lab.chains, NULL, &report);
    char *root = lab_read(&sign_lab.lab, "root.pem", &size);
    sign_lab.client_contexts[PAIR_TLS12] =
        tls_pair_client_context(PAIR_TLS12, root, size);
    sign_lab.client_contexts[PAIR_TLS13] =
        tls_pair_client_context(PAIR_TLS13, root, size);
    free(root);
    report_close(&report);
    return sign_lab.store ? 0 : -1;
}

int sign_lab_close(void **state)
{
    (void)state;
    certstore_free(sign_lab.store);
    wolfSSL_CTX_free(sign_lab.client_contexts[0]);
    wolfSSL_CTX_free(sign_lab.client_contexts[1]);
    bundle_close(sign_lab.chains);
    bundle_close(sign_lab.keys);
    lab_close(&sign_lab.lab);
    wolfSSL_Cleanup();
    return 0;
}

void sign_lab_join_keyholder(void)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    keyholder_client_set_channel(sign_lab.signer, fds[0]);
    keyholder_set_channel(sign_lab.keyholder, fds[1]);
}

void sign_lab_make_keyholder(void)
{
    struct report report = {0};
    struct error error = {.text = ""};
    sign_lab.keyholder = keyholder_new(sign_lab.base, &error);
    assert_non_null(sign_lab.keyholder);
    assert_true(keyholder_prepare(sign_lab.keyholder, &sign_lab.lab.config,
                                  sign_lab.chains, sign_lab.keys, &report));
    keyholder_commit(sign_lab.keyholder);
    report_close(&report);
}

long sign_lab_now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void sign_lab_turn(void)
{
    (void)event_base_loop(sign_lab.base, EVLOOP_NONBLOCK);
}

bool sign_lab_complete(struct tls_pair *pair)
{
    const long deadline = sign_lab_now_ms() + DEADLINE_MS;
    while (sign_lab_now_ms() < deadline && !pair->failed) {
        if (tls_pair_step(pair))
            return true;
        sign_lab_turn();
    }
    return false;
}

void sign_lab_bring_to_signature(struct tls_pair *pair)
{
    for (int i = 0; i < 10 && !sign_job_is_waiting(pair->job); i++)
        (void)tls_pair_step(pair);
    assert_true(sign_job_is_waiting(pair->job));
    assert_int_equal(pair->server_error, WC_PENDING_E);
}

void sign_lab_open_pair(struct tls_pair *pair, size_t certificate,
                        enum tls_pair_version version)
{
    tls_pair_open(pair, sign_lab.signer, certstore_at(sign_lab.store, certificate),
                  sign_lab.client_contexts[version], NULL);
}

/* With a channel whose other end the test has. */
int sign_lab_start_alone(void **state)
{
    (void)state;
    struct error error = {.text = ""};
    int fds[2];
    sign_lab.base = event_base_new();
    sign_lab.signer = keyholder_client_new(sign_lab.base, &error);
    assert_non_null(sign_lab.signer);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    keyholder_client_set_channel(sign_lab.signer, fds[0]);
    sign_lab.holder_fd = fds[1];
    sign_lab.keyholder = NULL;
    return 0;
}

int sign_lab_start(void **state)
{
    sign_lab_start_alone(state);
    (void)close(sign_lab.holder_fd);
    sign_lab.holder_fd = -1;
    sign_lab_make_keyholder();
    sign_lab_join_keyholder();
    return 0;
}

int sign_lab_stop(void **state)
{
    (void)state;
    keyholder_client_free(sign_lab.signer);
    keyholder_free(sign_lab.keyholder);
    if (sign_lab.holder_fd >= 0)
        (void)close(sign_lab.holder_fd);
    event_base_free(sign_lab.base);
    return 0;
}
