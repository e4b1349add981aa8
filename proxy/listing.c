#include "proxy/listing.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proxy/master.h"
#include "proxy/worker.h"

/* All pages together take at most so much, even if every worker fills its own. */
enum { PAGES_MAX_BYTES = 64 * 1024 * 1024 };

static const struct timeval PATIENCE = {.tv_sec = 2};

struct listing_page {
    const struct session_record *records; /* owned mapping; NULL: was not asked */
    size_t count;                         /* that were answered */
    size_t taken;
    bool asked;
    bool answered;
};

struct listing {
    struct master *master; /* borrowed */
    void (*on_done)(void *argument);
    void *argument;
    struct listing_page *pages; /* owned; one for each worker; NULL: no listing */
    size_t page_count;
    size_t room;     /* records in each page */
    size_t left;     /* records still to be taken */
    uint32_t number; /* of this listing, never 0 */
    uint64_t total;
    struct event *timer; /* owned */
};

static void listing_ask(struct listing *listing, struct process *process);
static bool listing_is_complete(const struct listing *listing);
static void listing_on_timer(evutil_socket_t fd, short what, void *argument);

struct listing *listing_new(struct master *master, void (*on_done)(void *argument),
                            void *argument)
{
    struct listing *listing = calloc(1, sizeof(*listing));

    if (!listing)
        return NULL;
    listing->master = master;
    listing->on_done = on_done;
    listing->argument = argument;
    listing->timer = evtimer_new(master->base, listing_on_timer, listing);
    if (listing->timer)
        return listing;
    listing_free(listing);
    return NULL;
}

bool listing_begin(struct listing *listing, size_t limit, struct error *error)
{
    struct master *master = listing->master;
    size_t workers = master->worker_count;
    static const struct timeval at_once = {0};

    listing->pages = calloc(workers + 1, sizeof(*listing->pages));
    if (!listing->pages)
        return error_set(error, "out of memory");
    listing->page_count = workers;
    listing->left = limit;
    listing->total = 0;
    listing->room =
        workers > 0 ? PAGES_MAX_BYTES / workers / sizeof(struct session_record) : 0;
    if (listing->room > limit)
        listing->room = limit;
    if (++listing->number == 0)
        listing->number = 1;
    for (size_t i = 0; i < master->process_count; i++) {
        struct process *process = &master->processes[i];
        if (process->role == &worker_role && process->pid > 0 && process->index < workers)
            listing_ask(listing, process);
    }
    evtimer_add(listing->timer, listing_is_complete(listing) ? &at_once : &PATIENCE);
    return true;
}

bool listing_is_active(const struct listing *listing)
{
    return listing->pages != NULL;
}

void listing_on_listed(struct listing *listing, const struct process *process,
                       const struct control_message *message)
{
    if (!listing->pages || message->generation != listing->number ||
        process->index >= listing->page_count)
        return;
    struct listing_page *page = &listing->pages[process->index];
    if (!page->records || page->answered)
        return;
    page->answered = true;
    page->count = message->number[0] < listing->room ? message->number[0] : listing->room;
    listing->total += message->number[1];
    if (!listing_is_complete(listing))
        return;
    evtimer_del(listing->timer);
    listing->on_done(listing->argument);
}

bool listing_take(struct listing *listing, struct session_record *record,
                  unsigned *worker)
{
    struct listing_page *oldest = NULL;

    if (listing->left == 0)
        return false;
    for (size_t i = 0; i < listing->page_count; i++) {
        struct listing_page *page = &listing->pages[i];
        if (page->taken == page->count)
            continue;
        if (oldest &&
            oldest->records[oldest->taken].age_ms >= page->records[page->taken].age_ms)
            continue;
        oldest = page;
        *worker = (unsigned)i;
    }
    if (!oldest)
        return false;
    session_record_take(record, &oldest->records[oldest->taken++]);
    listing->left--;
    return true;
}

uint64_t listing_total(const struct listing *listing)
{
    return listing->total;
}

int listing_find_silent(const struct listing *listing, unsigned worker)
{
    for (size_t i = worker; i < listing->page_count; i++) {
        if (listing->pages[i].asked && !listing->pages[i].answered)
            return (int)i;
    }
    return -1;
}

void listing_end(struct listing *listing)
{
    for (size_t i = 0; listing->pages && i < listing->page_count; i++)
        stats_page_unmap(listing->pages[i].records,
                         listing->room * sizeof(struct session_record));
    free(listing->pages);
    listing->pages = NULL;
    evtimer_del(listing->timer);
}

void listing_free(struct listing *listing)
{
    if (!listing)
        return;
    if (listing->timer) {
        listing_end(listing);
        event_free(listing->timer);
    }
    free(listing);
}

/* One that owes an answer to an earlier question is not asked again, but is silent. */
static void listing_ask(struct listing *listing, struct process *process)
{
    struct listing_page *page = &listing->pages[process->index];
    size_t size = listing->room * sizeof(struct session_record);
    struct error error;

    page->asked = true;
    if (process->listing != 0)
        return;
    int fd = stats_page_new("pawl sessions", size, &error);
    if (fd < 0)
        return;
    page->records = stats_page_map(fd, size, false, &error);
    if (page->records) {
        const struct control_message question = {.type = CONTROL_SESSIONS,
                                                 .generation = listing->number,
                                                 .number = {(uint32_t)listing->room}};
        const struct control_fds fds = {.fd = {fd, -1}};
        process->listing = listing->number;
        process_tell_message(process, &question, &fds);
    }
    close(fd);
}

static bool listing_is_complete(const struct listing *listing)
{
    for (size_t i = 0; i < listing->page_count; i++) {
        if (listing->pages[i].records && !listing->pages[i].answered)
            return false;
    }
    return true;
}

static void listing_on_timer(evutil_socket_t fd, short what, void *argument)
{
    struct listing *listing = argument;

    (void)fd;
    (void)what;
    listing->on_done(listing->argument);
}
