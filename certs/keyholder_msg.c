#include "certs/keyholder_msg.h"

_Static_assert(sizeof(struct sign_request) == 16 + SPKI_HASH_BYTES + SIGN_INPUT_MAX,
               "a request has no padding");
_Static_assert(sizeof(struct sign_reply) == 16 + SIGN_SIGNATURE_MAX,
               "a reply has no padding");

bool sign_request_is_valid(const struct sign_request *request)
{
    const unsigned length = request->input_length;
    if (request->reserved != 0)
        return false;
    switch (request->scheme) {
    case SIGN_RSA_PKCS1_SHA256:
    case SIGN_RSA_PSS_SHA256:
        return length == 32;
    case SIGN_RSA_PKCS1_SHA384:
    case SIGN_RSA_PSS_SHA384:
        return length == 48;
    case SIGN_RSA_PKCS1_SHA512:
    case SIGN_RSA_PSS_SHA512:
        return length == 64;
    case SIGN_ECDSA:
        return length == 32 || length == 48 || length == 64;
    case SIGN_ED25519:
        return length > 0 && length <= SIGN_INPUT_MAX;
    default: /* any number may have been sent */
        return false;
    }
}

bool sign_reply_is_valid(const struct sign_reply *reply)
{
    if (reply->reserved != 0 || reply->status > SIGN_FAILED)
        return false;
    if (reply->status == SIGN_DONE)
        return reply->signature_length > 0 &&
               reply->signature_length <= SIGN_SIGNATURE_MAX;
    return reply->signature_length == 0;
}
