#include "certs/devcert_make.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/asn_public.h>
#include <wolfssl/wolfcrypt/error-crypt.h>

#include "certs/certcheck.h"
#include "certs/private_key.h"

enum {
    DAY_SECONDS = 24 * 60 * 60,
    CA_DAYS = 3650,
    LEAF_DAYS = 396, /* browsers refuse more than 398 */
    RENEW_DAYS = 30,
    SKEW_SECONDS = 60 * 60, /* for clients whose clock is behind */
    FILE_MAX = 16 * 1024,
    DER_MAX = 4096
};

/* GeneralNames: DNS localhost and *.localhost, IP 127.0.0.1 and ::1. */
static const uint8_t leaf_names[] = {
    0x30, 0x30,                                                        /**/
    0x82, 0x09, 'l', 'o', 'c', 'a', 'l', 'h', 'o', 's', 't',           /**/
    0x82, 0x0b, '*', '.', 'l', 'o', 'c', 'a', 'l', 'h', 'o', 's', 't', /**/
    0x87, 0x04, 127, 0,   0,   1,                                      /**/
    0x87, 0x10, 0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0, 0, 0, 0, 1,
};

struct maker {
    WC_RNG rng;
    struct vault vault; /* owned: keys and what they are written from */
    struct private_key ca_key;
    uint8_t ca_der[DER_MAX];
    size_t ca_size;
};

static bool find_ca(struct maker *maker, const char *path, const char *key_path);
static bool find_leaf(struct maker *maker, const char *path, const char *key_path);
static bool make_ca(struct maker *maker, const char *path, const char *key_path,
                    struct error *error);
static bool make_leaf(struct maker *maker, const char *path, const char *key_path,
                      struct error *error);
static bool read_facts(const char *path, struct leaf_facts *facts);
static bool read_key(struct maker *maker, const char *path, struct private_key *key);
static bool make_key(struct maker *maker, struct private_key *key, struct error *error);
static bool write_key(struct maker *maker, const struct private_key *key,
                      const char *path, struct error *error);
static bool sign_certificate(struct maker *maker, Cert *cert,
                             const struct private_key *key, uint8_t *der, size_t *size,
                             struct error *error);
static void set_dates(Cert *cert, int days);
static bool write_file(const char *path, const void *data, size_t size,
                       struct error *error);

bool devcert_make(const struct devcert *paths, const char *ca_key, struct error *error)
{
    struct maker *maker = calloc(1, sizeof *maker);
    if (!maker || wc_InitRng(&maker->rng) != 0) {
        free(maker);
        return error_set(error, "cannot start the random number generator");
    }
    bool ok = true;
    if (!find_ca(maker, paths->ca, ca_key))
        ok = make_ca(maker, paths->ca, ca_key, error);
    if (ok && !find_leaf(maker, paths->chain, paths->key))
        ok = make_leaf(maker, paths->chain, paths->key, error);
    private_key_close(&maker->ca_key);
    vault_close(&maker->vault);
    wc_FreeRng(&maker->rng);
    free(maker);
    return ok;
}

static bool lasts(const struct leaf_facts *facts)
{
    const time_t now = time(NULL);
    return facts->not_before <= now &&
           facts->not_after - now > (time_t)RENEW_DAYS * DAY_SECONDS;
}

/* Whether there is a CA that is still good; then it is in `maker`. */
static bool find_ca(struct maker *maker, const char *path, const char *key_path)
{
    struct leaf_facts facts = {0};
    struct private_key key = {0};
    const bool good = read_facts(path, &facts) && lasts(&facts) &&
                      facts.chain_size <= sizeof maker->ca_der &&
                      read_key(maker, key_path, &key) && key.ecc &&
                      memcmp(key.spki_hash, facts.spki_hash, SPKI_HASH_BYTES) == 0;
    if (good) {
        memcpy(maker->ca_der, facts.chain, facts.chain_size);
        maker->ca_size = facts.chain_size;
        maker->ca_key = key;
    } else {
        private_key_close(&key);
    }
    leaf_facts_close(&facts);
    return good;
}

/* Whether there is a leaf that is still good and comes from the CA in `maker`. */
static bool find_leaf(struct maker *maker, const char *path, const char *key_path)
{
    struct leaf_facts facts = {0};
    struct private_key key = {0};
    const bool good = read_facts(path, &facts) && lasts(&facts) && facts.name_count > 0 &&
                      facts.chain_size > maker->ca_size &&
                      memcmp(facts.chain + facts.chain_size - maker->ca_size,
                             maker->ca_der, maker->ca_size) == 0 &&
                      read_key(maker, key_path, &key) &&
                      memcmp(key.spki_hash, facts.spki_hash, SPKI_HASH_BYTES) == 0;
    private_key_close(&key);
    leaf_facts_close(&facts);
    return good;
}

/* At most 63 bytes: RFC 5280 appendix A allows 64 (ub-common-name). */
static void ca_name(char *text, size_t size)
{
    char host[128] = "";
    const struct passwd *user = getpwuid(geteuid());
    if (gethostname(host, sizeof host - 1) < 0)
        host[0] = '\0';
    (void)snprintf(text, size, "Pawl development CA (%.16s@%.24s)",
                   user ? user->pw_name : "user", host);
}

static bool write_certificates(const char *path, const uint8_t *first, size_t first_size,
                               const uint8_t *second, size_t second_size,
                               struct error *error)
{
    uint8_t pem[FILE_MAX];
    int length = wc_DerToPem(first, (word32)first_size, pem, sizeof pem, CERT_TYPE);
    if (length > 0 && second) {
        const int more = wc_DerToPem(second, (word32)second_size, pem + length,
                                     (word32)(sizeof pem - (size_t)length), CERT_TYPE);
        length = more > 0 ? length + more : more;
    }
    if (length <= 0)
        return error_set(error, "cannot write \"%s\": %s", path,
                         wc_GetErrorString(length));
    return write_file(path, pem, (size_t)length, error);
}

static bool make_ca(struct maker *maker, const char *path, const char *key_path,
                    struct error *error)
{
    Cert *cert = wc_CertNew(NULL);
    if (!cert)
        return error_set(error, "no memory for the development CA");
    bool ok = wc_InitCert(cert) == 0 && make_key(maker, &maker->ca_key, error);
    if (ok) {
        ca_name(cert->subject.commonName, sizeof cert->subject.commonName);
        (void)snprintf(cert->subject.org, sizeof cert->subject.org, "Pawl development");
        cert->isCA = 1;
        cert->basicConstCrit = 1;
        cert->pathLen = 0;
        cert->pathLenSet = 1;
        cert->selfSigned = 1;
        set_dates(cert, CA_DAYS);
        maker->ca_size = sizeof maker->ca_der;
        ok = wc_SetKeyUsage(cert, "keyCertSign,cRLSign") == 0 &&
             sign_certificate(maker, cert, &maker->ca_key, maker->ca_der, &maker->ca_size,
                              error) &&
             write_key(maker, &maker->ca_key, key_path, error) &&
             write_certificates(path, maker->ca_der, maker->ca_size, NULL, 0, error);
    }
    wc_CertFree(cert);
    return ok;
}

/* The chain file holds the CA as well: it costs a few bytes on the wire, and clients that
 * do not trust it yet can show it. */
static bool make_leaf(struct maker *maker, const char *path, const char *key_path,
                      struct error *error)
{
    struct private_key key = {0};
    uint8_t der[DER_MAX];
    size_t size = sizeof der;
    Cert *cert = wc_CertNew(NULL);
    if (!cert)
        return error_set(error, "no memory for the development certificate");
    bool ok = wc_InitCert(cert) == 0 && make_key(maker, &key, error);
    if (ok) {
        _Static_assert(sizeof leaf_names <= CTC_MAX_ALT_SIZE, "the names must fit");
        (void)snprintf(cert->subject.commonName, sizeof cert->subject.commonName,
                       "localhost");
        memcpy(cert->altNames, leaf_names, sizeof leaf_names);
        cert->altNamesSz = sizeof leaf_names;
        cert->selfSigned = 0;
        set_dates(cert, LEAF_DAYS);
        ok = wc_SetIssuerBuffer(cert, maker->ca_der, (int)maker->ca_size) == 0 &&
             wc_SetAuthKeyIdFromPublicKey_ex(cert, ECC_TYPE, maker->ca_key.ecc) == 0 &&
             wc_SetKeyUsage(cert, "digitalSignature") == 0 &&
             wc_SetExtKeyUsage(cert, "serverAuth") == 0 &&
             sign_certificate(maker, cert, &key, der, &size, error) &&
             write_key(maker, &key, key_path, error) &&
             write_certificates(path, der, size, maker->ca_der, maker->ca_size, error);
    }
    wc_CertFree(cert);
    private_key_close(&key);
    return ok;
}

static bool read_file(const char *path, uint8_t *data, size_t *size)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    const ssize_t got = read(fd, data, *size);
    (void)close(fd);
    *size = got > 0 ? (size_t)got : 0;
    return got > 0;
}

/* The judgement of every other certificate will do for ours. */
static bool read_facts(const char *path, struct leaf_facts *facts)
{
    uint8_t pem[FILE_MAX];
    size_t size = sizeof pem;
    char *name = strdup(path);
    if (!name || !read_file(path, pem, &size)) {
        free(name);
        return false;
    }
    const struct config config = {.file = name};
    const struct config_certificate section = {.chain = name};
    struct report report = {0};
    const bool usable =
        certcheck_chain(&config, &section, (struct blob){pem, size}, facts, &report);
    report_close(&report);
    free(name);
    return usable;
}

static bool read_key(struct maker *maker, const char *path, struct private_key *key)
{
    size_t size = FILE_MAX;
    uint8_t *pem = vault_take(&maker->vault, size);
    if (!pem || !read_file(path, pem, &size))
        return false;
    struct key_opener nothing = {.iterations = 0};
    const struct private_key_text text = {{pem, size}, &nothing};
    return private_key_read(key, &text, &maker->vault, &maker->rng, NULL);
}

static bool make_key(struct maker *maker, struct private_key *key, struct error *error)
{
    private_key_close(key);
    key->type = KEY_ECDSA_P256;
    key->ecc = vault_take(&maker->vault, sizeof *key->ecc);
    if (key->ecc && wc_ecc_init(key->ecc) == 0 &&
        wc_ecc_set_rng(key->ecc, &maker->rng) == 0 &&
        wc_ecc_make_key_ex(&maker->rng, 32, key->ecc, ECC_SECP256R1) == 0)
        return true;
    return error_set(error, "cannot make a key");
}

static bool write_key(struct maker *maker, const struct private_key *key,
                      const char *path, struct error *error)
{
    uint8_t *der = vault_take(&maker->vault, DER_MAX);
    uint8_t *pem = vault_take(&maker->vault, DER_MAX);
    word32 size = DER_MAX;
    if (!der || !pem)
        return error_set(error, "no memory for a key");
    int code = wc_EccKeyToPKCS8(key->ecc, der, &size);
    if (code > 0)
        code = wc_DerToPem(der, (word32)code, pem, DER_MAX, PKCS8_PRIVATEKEY_TYPE);
    if (code <= 0)
        return error_set(error, "cannot encode a key: %s", wc_GetErrorString(code));
    return write_file(path, pem, (size_t)code, error);
}

/* Signed by the CA in `maker`; `key` is the certificate's own. */
static bool sign_certificate(struct maker *maker, Cert *cert,
                             const struct private_key *key, uint8_t *der, size_t *size,
                             struct error *error)
{
    const word32 max = (word32)*size;
    cert->sigType = CTC_SHA256wECDSA;
    int code = wc_SetSubjectKeyIdFromPublicKey_ex(cert, ECC_TYPE, key->ecc);
    if (code == 0)
        code = wc_MakeCert_ex(cert, der, max, ECC_TYPE, key->ecc, &maker->rng);
    if (code > 0)
        code = wc_SignCert_ex(cert->bodySz, cert->sigType, der, max, ECC_TYPE,
                              maker->ca_key.ecc, &maker->rng);
    if (code <= 0)
        return error_set(error, "cannot make a certificate: %s", wc_GetErrorString(code));
    *size = (size_t)code;
    return true;
}

/* UTCTime up to 2049, GeneralizedTime from then on (RFC 5280 section 4.1.2.5). */
static int write_date(uint8_t *field, time_t when)
{
    struct tm calendar;
    char text[32];
    if (!gmtime_r(&when, &calendar))
        return 0;
    const int year = calendar.tm_year + 1900;
    const bool is_utc_time = year < 2050;
    const int length =
        snprintf(text, sizeof text, "%0*d%02d%02d%02d%02d%02dZ", is_utc_time ? 2 : 4,
                 is_utc_time ? year % 100 : year, calendar.tm_mon + 1, calendar.tm_mday,
                 calendar.tm_hour, calendar.tm_min, calendar.tm_sec);
    if (length < 0 || length > 15)
        return 0;
    field[0] = is_utc_time ? 0x17 : 0x18;
    field[1] = (uint8_t)length;
    memcpy(field + 2, text, (size_t)length);
    return length + 2;
}

static void set_dates(Cert *cert, int days)
{
    const time_t now = time(NULL);
    _Static_assert(CTC_DATE_SIZE >= 2 + 15, "a date must fit");
    cert->beforeDateSz = write_date(cert->beforeDate, now - SKEW_SECONDS);
    cert->afterDateSz = write_date(cert->afterDate, now + (time_t)days * DAY_SECONDS);
}

/* All of it or nothing under `path`, for the user's eyes only. */
static bool write_file(const char *path, const void *data, size_t size,
                       struct error *error)
{
    char temporary[DEVCERT_PATH_MAX];
    const int length = snprintf(temporary, sizeof temporary, "%s.new", path);
    if (length < 0 || (size_t)length >= sizeof temporary)
        return error_set(error, "the path \"%s\" is too long", path);
    if (unlink(temporary) < 0 && errno != ENOENT)
        return error_set_errno(error, errno, "cannot remove \"%s\"", temporary);
    const int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set_errno(error, errno, "cannot create \"%s\"", temporary);
    errno = ENOSPC; /* for a short write, which sets none */
    const bool written = write(fd, data, size) == (ssize_t)size && fsync(fd) == 0;
    const int code = errno;
    (void)close(fd);
    if (!written) {
        (void)unlink(temporary);
        return error_set_errno(error, code, "cannot write \"%s\"", temporary);
    }
    if (rename(temporary, path) < 0)
        return error_set_errno(error, errno, "cannot rename \"%s\" to \"%s\"", temporary,
                               path);
    return true;
}
