#include "certs/staple.h"

#include <stdlib.h>
#include <string.h>

#include "certs/der.h"
#include "proxy/log.h"

enum { CLOCK_SLACK_S = 300 /* that a responder's clock may be ahead of ours */ };

static bool der_time(struct der *from, time_t *moment);
static bool read_basic(struct der response, struct staple_facts *facts);
static bool read_single(struct der single, struct staple_facts *facts);
static struct blob without_zeros(struct blob number);
static int on_status_request(WOLFSSL *ssl, void *argument);
static bool staple_is_current(const struct staple *staple, time_t now);

bool staple_read(struct blob der, struct staple_facts *facts, struct error *error)
{
    struct der file = {der.data, der.size};
    struct der outer, status, wrapped, bytes, type, response;

    if (!der_take(&file, DER_SEQUENCE, &outer) || file.left > 0 ||
        !der_take(&outer, DER_ENUMERATED, &status) || status.left != 1)
        return error_set(error, "it is no OCSP response in DER");
    if (status.at[0] != 0)
        return error_set(error, "the responder gave no answer, but an error");
    if (!der_take(&outer, DER_CONTEXT_SET, &wrapped) ||
        !der_take(&wrapped, DER_SEQUENCE, &bytes) || !der_take(&bytes, DER_OID, &type) ||
        !der_take(&bytes, DER_OCTETS, &response) || !read_basic(response, facts))
        return error_set(error, "it is damaged, or no basic OCSP response");
    return true;
}

bool staple_open(struct staple *staple, struct blob der, struct blob serial, time_t now,
                 struct error *error)
{
    struct staple_facts facts = {.status = STAPLE_UNKNOWN};

    if (!staple_read(der, &facts, error))
        return false;
    const struct blob about = without_zeros(facts.serial);
    const struct blob ours = without_zeros(serial);
    if (about.size != ours.size || memcmp(about.data, ours.data, ours.size) != 0)
        return error_set(error, "it is about another certificate");
    if (facts.status == STAPLE_UNKNOWN)
        return error_set(error, "the responder does not know the certificate");
    staple->from = facts.this_update - CLOCK_SLACK_S;
    staple->until = facts.next_update;
    if (!staple_is_current(staple, now))
        return error_set(error, now < staple->from ? "it is not valid yet"
                                                   : "its time (nextUpdate) is over");
    staple->response = malloc(der.size);
    if (!staple->response)
        return error_set(error, "no memory for it");
    memcpy(staple->response, der.data, der.size);
    staple->size = der.size;
    return true;
}

bool staple_attach(WOLFSSL_CTX *context, struct staple *staple)
{
    return wolfSSL_CTX_set_tlsext_status_cb(context, on_status_request) ==
               WOLFSSL_SUCCESS &&
           wolfSSL_CTX_set_tlsext_status_arg(context, staple) == WOLFSSL_SUCCESS;
}

void staple_close(struct staple *staple)
{
    free(staple->response);
    *staple = (struct staple){.response = NULL};
}

/* BasicOCSPResponse; of several answers the first counts, as there is one question. */
static bool read_basic(struct der response, struct staple_facts *facts)
{
    struct der basic, data, skipped, answers, single;
    time_t produced;
    uint8_t tag;

    if (!der_take(&response, DER_SEQUENCE, &basic) ||
        !der_take(&basic, DER_SEQUENCE, &data))
        return false;
    if (der_has(&data, DER_CONTEXT_SET) && !der_take(&data, DER_CONTEXT_SET, &skipped))
        return false; /* the version */
    return der_any(&data, &tag, &skipped) && der_time(&data, &produced) &&
           der_take(&data, DER_SEQUENCE, &answers) &&
           der_take(&answers, DER_SEQUENCE, &single) && read_single(single, facts);
}

static bool read_single(struct der single, struct staple_facts *facts)
{
    struct der id, skipped, serial, wrapped;
    uint8_t tag;

    if (!der_take(&single, DER_SEQUENCE, &id) || !der_take(&id, DER_SEQUENCE, &skipped) ||
        !der_take(&id, DER_OCTETS, &skipped) || !der_take(&id, DER_OCTETS, &skipped) ||
        !der_take(&id, DER_INTEGER, &serial) || serial.left == 0 ||
        !der_any(&single, &tag, &skipped) || (tag & DER_CONTEXT) == 0 ||
        (tag & DER_NUMBER) > STAPLE_UNKNOWN || !der_time(&single, &facts->this_update))
        return false;
    facts->serial = (struct blob){serial.at, serial.left};
    facts->status = (enum staple_status)(tag & DER_NUMBER);
    facts->next_update = 0;
    return !der_has(&single, DER_CONTEXT_SET) ||
           (der_take(&single, DER_CONTEXT_SET, &wrapped) &&
            der_time(&wrapped, &facts->next_update));
}

/* GeneralizedTime as DER has it: YYYYMMDDHHMMSSZ. */
static bool der_time(struct der *from, time_t *moment)
{
    static const uint8_t widths[] = {4, 2, 2, 2, 2, 2};
    int parts[sizeof(widths)] = {0};
    struct der value;
    size_t at = 0;

    if (!der_take(from, DER_TIME, &value) || value.left != 15 || value.at[14] != 'Z')
        return false;
    for (size_t i = 0; i < sizeof(widths); i++) {
        for (size_t j = 0; j < widths[i]; j++, at++) {
            if (value.at[at] < '0' || value.at[at] > '9')
                return false;
            parts[i] = parts[i] * 10 + (value.at[at] - '0');
        }
    }
    struct tm calendar = {.tm_year = parts[0] - 1900,
                          .tm_mon = parts[1] - 1,
                          .tm_mday = parts[2],
                          .tm_hour = parts[3],
                          .tm_min = parts[4],
                          .tm_sec = parts[5]};
    *moment = timegm(&calendar);
    return *moment > 0;
}

static struct blob without_zeros(struct blob number)
{
    while (number.size > 1 && number.data[0] == 0) {
        number.data++;
        number.size--;
    }
    return number;
}

static bool staple_is_current(const struct staple *staple, time_t now)
{
    return now >= staple->from && (staple->until == 0 || now < staple->until);
}

/* The library calls it for clients that ask, and frees what it is given. */
static int on_status_request(WOLFSSL *ssl, void *argument)
{
    struct staple *staple = argument;

    if (!staple_is_current(staple, time(NULL))) {
        if (!staple->warned)
            log_warning("certificate \"%s\": the time of its OCSP response is over; it "
                        "is not sent until there is a new one",
                        staple->name);
        staple->warned = true;
        return WOLFSSL_OCSP_STATUS_CB_NOACK;
    }
    unsigned char *copy = wolfSSL_Malloc(staple->size);
    if (!copy)
        return WOLFSSL_OCSP_STATUS_CB_NOACK;
    memcpy(copy, staple->response, staple->size);
    if (wolfSSL_set_tlsext_status_ocsp_resp(ssl, copy, (int)staple->size) ==
        WOLFSSL_SUCCESS)
        return WOLFSSL_OCSP_STATUS_CB_OK;
    wolfSSL_Free(copy);
    return WOLFSSL_OCSP_STATUS_CB_NOACK;
}
