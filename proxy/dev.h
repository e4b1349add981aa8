/*
 * `pawl dev` and `pawl demo`: HTTPS on localhost in front of an app, without a file and
 * without root, with a development certificate.
 */
#ifndef PROXY_DEV_H
#define PROXY_DEV_H

struct dev_options {
    const char *backend;        /* a port or an address; NULL: the built-in demo app */
    const char *listen;         /* an address; NULL: localhost:8443 */
    const char *unsafe_without; /* parts of the sandbox; NULL: none */
};

/* Runs until it is told to end; returns the exit code. */
int dev_run(const struct dev_options *options);

#endif
