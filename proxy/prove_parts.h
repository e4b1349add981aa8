/*
 * The inside of `pawl prove`: what its parts share.  Each part asks the server its own
 * questions and adds its findings; the order is in prove.c.
 */
#ifndef PROXY_PROVE_PARTS_H
#define PROXY_PROVE_PARTS_H

#include "proxy/prove_answer.h"
#include "proxy/prove_report.h"

enum { PROVE_SUITES_MAX = 400, PROVE_CHAINS_MAX = 3 };

/* The suites that were agreed on with one version, in the server's order. */
struct prove_scan {
    uint16_t version;
    uint16_t suites[PROVE_SUITES_MAX];
    size_t count;
    size_t offered;
    unsigned hellos;
    bool is_complete; /* in the end the server refused the rest: nothing was missed */
    char last[PROVE_WORDS_MAX]; /* what it said then */
};

enum prove_scan_version { SCAN_SSL30, SCAN_TLS10, SCAN_TLS11, SCAN_TLS12, SCAN_VERSIONS };

struct prove {
    struct prove_target target;
    struct prove_report report;
    struct prove_text evidence; /* of the finding that is being made */
    struct prove_scan scans[SCAN_VERSIONS];
    struct prove_scan tls13;
    unsigned dh_bits_min;    /* of the DHE primes seen; 0: none */
    bool renegotiation_info; /* in a ServerHello of TLS 1.2 */
    size_t staple_len;       /* OCSP response in a flight of TLS 1.2 */
    bool trust_is_known;     /* the certificates were verified against target.ca */
    int trust_error;         /* of the library; 0: trusted */
    /* Flights with different certificates; owned. */
    struct prove_answer chains[PROVE_CHAINS_MAX];
    size_t chain_count;
};

/* Adds a finding, its evidence being what was put into prove->evidence. */
#define PROVE_ADD(prove, verdict, id, ...)                                               \
    prove_report_add(&(prove)->report, verdict, id, &(prove)->evidence, __VA_ARGS__)

/* prove_scan.c: versions and suites, by hand-made hellos.  False: nothing is spoken, so
 * nothing else can be asked. */
bool prove_scan_versions(struct prove *prove);

/* prove_judge.c: what the scanned suites are worth. */
void prove_judge_suites(struct prove *prove);

/* prove_offer.c: groups, compression, the sign of secure renegotiation, early data. */
void prove_offer_groups(struct prove *prove);
void prove_offer_rest(struct prove *prove);

/* prove_resume.c: handshakes with the library: the hybrid group, tickets, resumption. */
void prove_resume_tls13(struct prove *prove);

/* prove_resume12.c: resumption in TLS 1.2. */
void prove_resume_tls12(struct prove *prove);

/* prove_renegotiate.c: renegotiation within a real connection of TLS 1.2. */
void prove_renegotiate(struct prove *prove);

/* prove_chain.c: the certificates. */
void prove_chain_report(struct prove *prove);

#endif
