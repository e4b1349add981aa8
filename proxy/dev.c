#include "proxy/dev.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "certs/devcert.h"
#include "config/value.h"
#include "proxy/cli.h"
#include "proxy/master.h"

enum { TEXT_MAX = 4 * DEVCERT_PATH_MAX, ADDRESS_MAX = 256 };

#define DEV_PORT "8443"

struct dev {
    const struct dev_options *options;
    struct devcert certificate;
    struct address listen; /* the first one; for the URL */
    char listen_text[ADDRESS_MAX];
    char backend_text[ADDRESS_MAX];
    char config[TEXT_MAX];
    int demo_fd;
};

static bool dev_prepare(struct dev *dev, struct error *error);
static bool dev_choose_addresses(struct dev *dev, struct error *error);
static bool dev_open_demo_socket(struct dev *dev, struct error *error);
static bool dev_write_config(struct dev *dev, struct error *error);
static bool dev_has_ipv6(void);
static bool dev_is_port(const char *text);
static void dev_on_ready(void *argument);

int dev_run(const struct dev_options *options)
{
    static struct dev dev;
    struct error error;

    dev = (struct dev){.options = options, .demo_fd = -1};
    if (!dev_prepare(&dev, &error)) {
        fprintf(stderr, "pawl: %s\n", error.text);
        return EXIT_FAILED;
    }
    const struct master_options master = {
        .source = {.file = options->backend ? "(pawl dev)" : "(pawl demo)",
                   .text = dev.config,
                   .with_demo = !options->backend,
                   .demo_fd = dev.demo_fd},
        .on_ready = dev_on_ready,
        .on_ready_argument = &dev,
    };
    int code = master_run(&master);
    if (dev.demo_fd >= 0)
        close(dev.demo_fd);
    return code;
}

static bool dev_prepare(struct dev *dev, struct error *error)
{
    char directory[DEVCERT_PATH_MAX];

    return dev_choose_addresses(dev, error) &&
           devcert_default_directory(directory, sizeof(directory), error) &&
           devcert_ensure(directory, &dev->certificate, error) &&
           (dev->options->backend || dev_open_demo_socket(dev, error)) &&
           dev_write_config(dev, error);
}

static bool dev_choose_addresses(struct dev *dev, struct error *error)
{
    const char *backend = dev->options->backend;
    const char *listen = dev->options->listen;
    struct address_list list;

    if (!listen)
        listen = dev_has_ipv6() ? "127.0.0.1:" DEV_PORT ", [::1]:" DEV_PORT
                                : "127.0.0.1:" DEV_PORT;
    if (!value_read_addresses(listen, ADDRESS_LISTEN, &list, error))
        return false;
    dev->listen = list.items[0];
    (void)snprintf(dev->listen_text, sizeof(dev->listen_text), "%s", listen);
    if (!backend)
        return true;
    (void)snprintf(dev->backend_text, sizeof(dev->backend_text), "%s%s",
                   dev_is_port(backend) ? "localhost:" : "", backend);
    return value_read_addresses(dev->backend_text, ADDRESS_CONNECT, &list, error);
}

/* On a port the kernel chooses; the demo app's process gets the socket. */
static bool dev_open_demo_socket(struct dev *dev, struct error *error)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof(address);

    dev->demo_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (dev->demo_fd < 0 ||
        bind(dev->demo_fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(dev->demo_fd, SOMAXCONN) < 0 ||
        getsockname(dev->demo_fd, (struct sockaddr *)&address, &length) < 0)
        return error_set_errno(error, errno, "cannot open a socket for the demo app");
    (void)snprintf(dev->backend_text, sizeof(dev->backend_text), "127.0.0.1:%u",
                   ntohs(address.sin_port));
    return true;
}

static bool dev_write_config(struct dev *dev, struct error *error)
{
    const char *without = dev->options->unsafe_without;
    int length =
        snprintf(dev->config, sizeof(dev->config),
                 "[proxy]\n"
                 "workers = 1\n"
                 "control = off\n"
                 "%s%s\n"
                 "[listener dev]\n"
                 "address = %s\n"
                 "[certificate localhost]\n"
                 "chain = %s\n"
                 "key = %s\n"
                 "[backend app]\n"
                 "address = %s\n"
                 "%s",
                 without ? "unsafe_without = " : "", without ? without : "",
                 dev->listen_text, dev->certificate.chain, dev->certificate.key,
                 dev->backend_text, dev->options->backend ? "" : "send_proxy = v2-tls\n");

    if (length < 0 || (size_t)length >= sizeof(dev->config))
        return error_set(error, "the paths of the certificate are too long");
    return true;
}

static bool dev_has_ipv6(void)
{
    const struct sockaddr_in6 loopback = {.sin6_family = AF_INET6,
                                          .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool works =
        fd >= 0 && bind(fd, (const struct sockaddr *)&loopback, sizeof(loopback)) == 0;

    if (fd >= 0)
        close(fd);
    return works;
}

static bool dev_is_port(const char *text)
{
    return text[0] != '\0' && text[strspn(text, "0123456789")] == '\0';
}

static void dev_on_ready(void *argument)
{
    const struct dev *dev = argument;
    const struct devcert *certificate = &dev->certificate;
    const char *port = strrchr(dev->listen.text, ':');

    printf(
        "\n"
        "  https://localhost%s  in front of  %s\n"
        "\n"
        "  TLS 1.3 and 1.2, forward secrecy only, post-quantum hybrid X25519MLKEM768 "
        "first\n"
        "  certificate   %s\n"
        "    SHA-256     %s\n"
        "  signed by the development CA of this user, made on this machine:\n"
        "    %s\n"
        "    SHA-256     %s\n"
        "\n"
        "  To try it:         curl --cacert '%s' https://localhost%s/\n"
        "  To trust the CA:\n"
        "    this machine     sudo cp '%s' /usr/local/share/ca-certificates/pawl-dev.crt "
        "&& sudo update-ca-certificates\n"
        "    Chromium         certutil -d sql:$HOME/.pki/nssdb -A -t C,, -n pawl-dev -i "
        "'%s'\n"
        "    Firefox          Settings, Certificates, Authorities, Import\n"
        "\n"
        "  Ctrl-C ends it.\n"
        "\n",
        port, dev->options->backend ? dev->backend_text : "the built-in demo app",
        certificate->chain, certificate->fingerprint, certificate->ca,
        certificate->ca_fingerprint, certificate->ca, port, certificate->ca,
        certificate->ca);
    (void)fflush(stdout);
}
