#include "certs/client_names.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { IPV4_BYTES = 4 };

/* Bytes of a certificate; not terminated. */
struct bytes {
    const char *at;
    size_t length;
};

static bool cn_is_listed(const struct text_list *list, struct bytes name);
static bool dns_is_listed(const struct text_list *list, struct bytes name);
static bool uri_is_listed(const struct text_list *list, struct bytes name);
static bool mail_is_listed(const struct text_list *list, struct bytes name);
static bool ip_is_listed(const struct network_list *list, struct bytes name);
static struct bytes name_of(const struct DNS_entry *entry);
static bool write_name(char *text, size_t size, const char *kind, struct bytes name);
static void write_address(char *text, size_t size, struct bytes name);

bool client_names_allow(const struct config_clients *policy,
                        const struct DecodedCert *certificate)
{
    if (policy->allow_cn.count + policy->allow_dns.count + policy->allow_uri.count +
            policy->allow_email.count + policy->allow_ip.count ==
        0)
        return true;
    if (certificate->subjectCN && certificate->subjectCNLen > 0 &&
        cn_is_listed(
            &policy->allow_cn,
            (struct bytes){certificate->subjectCN, (size_t)certificate->subjectCNLen}))
        return true;
    for (const struct DNS_entry *entry = certificate->altNames; entry;
         entry = entry->next) {
        const struct bytes name = name_of(entry);
        if ((entry->type == ASN_DNS_TYPE && dns_is_listed(&policy->allow_dns, name)) ||
            (entry->type == ASN_URI_TYPE && uri_is_listed(&policy->allow_uri, name)) ||
            (entry->type == ASN_IP_TYPE && ip_is_listed(&policy->allow_ip, name)))
            return true;
    }
    for (const struct DNS_entry *entry = certificate->altEmailNames; entry;
         entry = entry->next) {
        if (entry->type == ASN_RFC822_TYPE &&
            mail_is_listed(&policy->allow_email, name_of(entry)))
            return true;
    }
    return false;
}

void client_names_write_cn(const struct DecodedCert *certificate, char *text, size_t size)
{
    text[0] = '\0';
    if (certificate->subjectCN && certificate->subjectCNLen > 0)
        (void)write_name(
            text, size, "",
            (struct bytes){certificate->subjectCN, (size_t)certificate->subjectCNLen});
}

void client_names_write_san(const struct DecodedCert *certificate, char *text,
                            size_t size)
{
    char address[INET6_ADDRSTRLEN];
    bool room = true;
    text[0] = '\0';
    for (const struct DNS_entry *entry = certificate->altNames; entry && room;
         entry = entry->next) {
        if (entry->type == ASN_DNS_TYPE)
            room = write_name(text, size, "DNS:", name_of(entry));
        if (entry->type == ASN_URI_TYPE)
            room = write_name(text, size, "URI:", name_of(entry));
        if (entry->type == ASN_IP_TYPE) {
            write_address(address, sizeof address, name_of(entry));
            room =
                write_name(text, size, "IP:", (struct bytes){address, strlen(address)});
        }
    }
    for (const struct DNS_entry *entry = certificate->altEmailNames; entry && room;
         entry = entry->next)
        room = write_name(text, size, "email:", name_of(entry));
}

static struct bytes name_of(const struct DNS_entry *entry)
{
    return (struct bytes){entry->name, entry->len > 0 ? (size_t)entry->len : 0};
}

static bool cn_is_listed(const struct text_list *list, struct bytes name)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strlen(list->items[i]) == name.length &&
            memcmp(list->items[i], name.at, name.length) == 0)
            return true;
    }
    return false;
}

static bool is_same_word(const char *word, const char *at, size_t length)
{
    return strlen(word) == length && strncasecmp(word, at, length) == 0;
}

/* A star in the certificate itself names nobody in particular, and matches nothing. */
static bool dns_is_listed(const struct text_list *list, struct bytes name)
{
    const char *dot = memchr(name.at, '.', name.length);
    if (memchr(name.at, '*', name.length))
        return false;
    for (size_t i = 0; i < list->count; i++) {
        const char *item = list->items[i];
        if (is_same_word(item, name.at, name.length))
            return true;
        if (item[0] == '*' && dot && dot != name.at &&
            is_same_word(item + 1, dot, (size_t)(name.at + name.length - dot)))
            return true;
    }
    return false;
}

static bool uri_is_listed(const struct text_list *list, struct bytes name)
{
    for (size_t i = 0; i < list->count; i++) {
        const char *item = list->items[i];
        size_t length = strlen(item);
        const bool starred = item[length - 1] == '*';
        if (!starred && length == name.length && memcmp(item, name.at, length) == 0)
            return true;
        length--; /* the star */
        if (!starred || name.length <= length || memcmp(item, name.at, length) != 0)
            continue;
        const char *segment = name.at + length;
        const size_t left = name.length - length;
        if (!memchr(segment, '/', left) && !memchr(segment, '?', left) &&
            !memchr(segment, '#', left))
            return true;
    }
    return false;
}

/* Of a mailbox case may matter (RFC 5321 section 2.4), of a domain it does not. */
static bool mail_is_listed(const struct text_list *list, struct bytes name)
{
    const char *at = memrchr(name.at, '@', name.length);
    if (!at || at == name.at)
        return false;
    const size_t mailbox = (size_t)(at - name.at);
    for (size_t i = 0; i < list->count; i++) {
        const char *item = list->items[i];
        const char *item_at = strrchr(item, '@');
        if (!is_same_word(item_at, at, name.length - mailbox))
            continue;
        if (item[0] == '*' && item_at == item + 1)
            return true;
        if ((size_t)(item_at - item) == mailbox && memcmp(item, name.at, mailbox) == 0)
            return true;
    }
    return false;
}

static bool ip_is_listed(const struct network_list *list, struct bytes name)
{
    uint8_t address[NETWORK_ADDRESS_BYTES] = {[10] = 0xff, [11] = 0xff};
    if (name.length == IPV4_BYTES)
        memcpy(address + NETWORK_ADDRESS_BYTES - IPV4_BYTES, name.at, IPV4_BYTES);
    else if (name.length == NETWORK_ADDRESS_BYTES)
        memcpy(address, name.at, NETWORK_ADDRESS_BYTES);
    else
        return false;
    return network_list_has(list, address);
}

/* Appends; false if there was no room. */
static bool write_name(char *text, size_t size, const char *kind, struct bytes name)
{
    const size_t before = strlen(text);
    const size_t kind_length = strlen(kind);
    const size_t blank = before > 0;
    if (before + blank + kind_length + name.length >= size)
        return false;
    char *at = text + before;
    if (blank)
        *at++ = ' ';
    memcpy(at, kind, kind_length);
    at += kind_length;
    for (size_t i = 0; i < name.length; i++)
        *at++ = name.at[i] != '\0' ? name.at[i] : '?';
    *at = '\0';
    return true;
}

static void write_address(char *text, size_t size, struct bytes name)
{
    const int family = name.length == IPV4_BYTES ? AF_INET : AF_INET6;
    const bool known = name.length == IPV4_BYTES || name.length == NETWORK_ADDRESS_BYTES;
    if (!known || !inet_ntop(family, name.at, text, (socklen_t)size))
        (void)snprintf(text, size, "?");
}
