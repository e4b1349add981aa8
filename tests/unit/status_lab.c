#include "tests/unit/status_lab.h"

#include <stdlib.h>
#include <string.h>

struct status_lab status_lab;

static char file[] = "proxy.ini";
static const char *const names[] = {"app.example"};

int status_lab_begin(void **state)
{
    struct status_lab *lab = &status_lab;

    (void)state;
    memset(lab, 0, sizeof(*lab));
    (void)snprintf(lab->backends[0].section.name, CONFIG_NAME_MAX, "app");
    (void)snprintf(lab->backends[1].section.name, CONFIG_NAME_MAX, "api");
    lab->config = (struct config){.file = file,
                                  .tls.window_ms = 3600000,
                                  .backends = lab->backends,
                                  .backend_count = 2};
    lab->backends[0].required = lab->backends[1].required = true;
    lab->certificate = (struct status_certificate){.section = "main",
                                                   .names = names,
                                                   .name_count = 1,
                                                   .key_type = "RSA",
                                                   .served = 1,
                                                   .not_after_ms = 5000};
    lab->master.state = MASTER_SERVING;
    lab->workers[0] = &lab->pages[0];
    lab->workers[1] = &lab->pages[1];
    lab->status = (struct status){.config = &lab->config,
                                  .certificates = &lab->certificate,
                                  .certificate_count = 1,
                                  .master = &lab->master,
                                  .workers = lab->workers,
                                  .worker_count = 2};
    return 0;
}

const char *status_lab_text(void (*write)(FILE *out, const struct status *status))
{
    static char *text;
    size_t size;

    free(text);
    FILE *out = open_memstream(&text, &size);
    if (!out)
        abort();
    write(out, &status_lab.status);
    if (fclose(out) != 0)
        abort();
    return text;
}
