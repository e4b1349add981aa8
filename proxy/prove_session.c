#include "proxy/prove_session.h"

#include <stdlib.h>
#include <string.h>

enum { QUIET_MS = 200, READ_BYTES = 16 * 1024 };

static bool make_context(struct prove_session *session,
                         const struct prove_session_options *options,
                         struct error *error);
static bool make_ssl(struct prove_session *session,
                     const struct prove_session_options *options, struct error *error);
static bool offer_groups(struct prove_session *session,
                         const struct prove_session_options *options);
static int on_receive(WOLFSSL *ssl, char *bytes, int size, void *context);
static int on_send(WOLFSSL *ssl, char *bytes, int size, void *context);
static int on_verify(int fine, WOLFSSL_X509_STORE_CTX *store);
static bool keep(struct prove_capture *capture, const void *bytes, size_t length);

bool prove_session_open(struct prove_session *session, struct prove_target *target,
                        const struct prove_session_options *options, struct error *error)
{
    char words[WOLFSSL_MAX_ERROR_SZ];

    *session = (struct prove_session){.link = {.fd = -1}};
    if (!prove_link_open(&session->link, target, error))
        return false;
    if (!make_context(session, options, error) || !make_ssl(session, options, error))
        return false;
    session->is_done = wolfSSL_connect(session->ssl) == WOLFSSL_SUCCESS;
    session->in_handshake = session->in.length;
    if (session->in.length > 0)
        (void)prove_answer_read(&session->answer, session->in.bytes, session->in.length,
                                true);
    if (session->is_done)
        return true;
    if (session->timed_out) {
        target->silences++;
        return error_set(error, "no answer in time");
    }
    const int code = wolfSSL_get_error(session->ssl, 0);
    wolfSSL_ERR_error_string((unsigned long)code, words);
    return error_set(error, "%s", words);
}

static bool make_context(struct prove_session *session,
                         const struct prove_session_options *options, struct error *error)
{
    session->context = wolfSSL_CTX_new(options->tls13 ? wolfTLSv1_3_client_method()
                                                      : wolfTLSv1_2_client_method());
    if (!session->context)
        return error_set(error, "no memory for a TLS client");
    if (options->ca && wolfSSL_CTX_load_verify_locations(session->context, options->ca,
                                                         NULL) != WOLFSSL_SUCCESS)
        return error_set(error, "cannot read certificates from \"%s\"", options->ca);
    wolfSSL_CTX_set_verify(session->context, WOLFSSL_VERIFY_PEER, on_verify);
    wolfSSL_CTX_SetIORecv(session->context, on_receive);
    wolfSSL_CTX_SetIOSend(session->context, on_send);
    return true;
}

static bool make_ssl(struct prove_session *session,
                     const struct prove_session_options *options, struct error *error)
{
    const char *name = session->link.target->name;

    session->ssl = wolfSSL_new(session->context);
    if (!session->ssl)
        return error_set(error, "no memory for a TLS client");
    wolfSSL_SetIOReadCtx(session->ssl, session);
    wolfSSL_SetIOWriteCtx(session->ssl, session);
    wolfSSL_SetCertCbCtx(session->ssl, session);
    if (name[0] && wolfSSL_UseSNI(session->ssl, WOLFSSL_SNI_HOST_NAME, name,
                                  (unsigned short)strlen(name)) != WOLFSSL_SUCCESS)
        return error_set(error, "cannot ask for the name %s", name);
    if (options->wants_ticket &&
        wolfSSL_UseSessionTicket(session->ssl) != WOLFSSL_SUCCESS)
        return error_set(error, "cannot ask for a ticket");
    if (options->resume &&
        wolfSSL_set_session(session->ssl, options->resume) != WOLFSSL_SUCCESS)
        return error_set(error, "the TLS library does not take the session up");
    if (options->psk_ke && wolfSSL_no_dhe_psk(session->ssl) != 0)
        return error_set(error, "cannot offer psk_ke alone");
    return offer_groups(session, options) || error_set(error, "cannot offer the groups");
}

static bool offer_groups(struct prove_session *session,
                         const struct prove_session_options *options)
{
    static const int others[] = {WOLFSSL_ECC_X25519, WOLFSSL_ECC_SECP256R1,
                                 WOLFSSL_ECC_SECP384R1};
    enum { OTHERS = sizeof others / sizeof others[0] };
    int groups[1 + OTHERS] = {options->group ? options->group : WOLFSSL_ECC_X25519};
    int count = 1;

    for (size_t i = 0; i < OTHERS; i++) {
        if (others[i] != groups[0])
            groups[count++] = others[i];
    }
    if (wolfSSL_set_groups(session->ssl, groups, count) != WOLFSSL_SUCCESS)
        return false;
    return !options->tls13 ||
           wolfSSL_UseKeyShare(session->ssl, (word16)groups[0]) == WOLFSSL_SUCCESS;
}

static bool keep(struct prove_capture *capture, const void *bytes, size_t length)
{
    if (length > PROVE_CAPTURE_MAX - capture->length)
        return false;
    if (!capture->bytes)
        capture->bytes = malloc(PROVE_CAPTURE_MAX);
    if (!capture->bytes)
        return false;
    memcpy(capture->bytes + capture->length, bytes, length);
    capture->length += length;
    return true;
}

static int on_receive(WOLFSSL *ssl, char *bytes, int size, void *context)
{
    struct prove_session *session = context;
    size_t got = 0;

    (void)ssl;
    switch (prove_link_receive(&session->link, bytes, (size_t)size, &got)) {
    case RECEIPT_BYTES:
        if (session->is_listening &&
            session->link.deadline_ms > prove_now_ms() + QUIET_MS)
            session->link.deadline_ms = prove_now_ms() + QUIET_MS;
        return keep(&session->in, bytes, got) ? (int)got : WOLFSSL_CBIO_ERR_GENERAL;
    case RECEIPT_END:
        return WOLFSSL_CBIO_ERR_CONN_CLOSE;
    case RECEIPT_RESET:
        return WOLFSSL_CBIO_ERR_CONN_RST;
    case RECEIPT_SILENCE:
        break;
    }
    session->timed_out = true;
    return WOLFSSL_CBIO_ERR_WANT_READ;
}

static int on_send(WOLFSSL *ssl, char *bytes, int size, void *context)
{
    struct prove_session *session = context;

    (void)ssl;
    if (!keep(&session->out, bytes, (size_t)size) ||
        !prove_link_send(&session->link, bytes, (size_t)size))
        return WOLFSSL_CBIO_ERR_CONN_RST;
    return size;
}

static void keep_chain(struct prove_session *session, const WOLFSSL_X509_STORE_CTX *store)
{
    size_t total = 0;
    const int count = store->totalCerts < PROVE_CHAIN_COUNT_MAX ? store->totalCerts
                                                                : PROVE_CHAIN_COUNT_MAX;

    for (int i = 0; i < count; i++)
        total += store->certs[i].length;
    session->chain = malloc(total + 1);
    for (int i = 0; session->chain && i < count; i++) {
        const size_t at = session->chain_at[i];
        memcpy(session->chain + at, store->certs[i].buffer, store->certs[i].length);
        session->chain_at[i + 1] = at + store->certs[i].length;
        session->chain_count++;
    }
}

/* Takes every certificate: what it is worth is said in a finding, not by giving up. */
static int on_verify(int fine, WOLFSSL_X509_STORE_CTX *store)
{
    struct prove_session *session = store->userCtx;

    if (!session->chain && store->certs && store->totalCerts > 0)
        keep_chain(session, store);
    if (!fine && session->trust_error == 0)
        session->trust_error = store->error;
    return 1;
}

void prove_session_listen(struct prove_session *session, uint64_t wait_ms)
{
    char bytes[READ_BYTES];

    session->is_listening = true;
    session->link.deadline_ms = prove_now_ms() + wait_ms;
    while (session->in.length < PROVE_CAPTURE_MAX / 2 &&
           wolfSSL_read(session->ssl, bytes, sizeof bytes) > 0)
        ;
}

WOLFSSL_SESSION *prove_session_take(struct prove_session *session)
{
    return session->is_done ? wolfSSL_get1_session(session->ssl) : NULL;
}

void prove_session_hang_up(struct prove_session *session)
{
    if (session->is_done && session->link.fd >= 0)
        (void)wolfSSL_shutdown(session->ssl);
    prove_link_close(&session->link);
}

void prove_session_close(struct prove_session *session)
{
    prove_session_hang_up(session);
    wolfSSL_free(session->ssl);
    wolfSSL_CTX_free(session->context);
    free(session->in.bytes);
    free(session->out.bytes);
    free(session->chain);
    prove_answer_close(&session->answer);
    *session = (struct prove_session){.link = {.fd = -1}};
}
