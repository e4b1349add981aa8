/*
 * What turns Pawl into build/tests/tools/pawl-probe: the objects of the product, linked
 * so that a role that closes its sandbox comes here.  If the file "probe" in the folder
 * where it runs names the role, every action below is tried in a child that has closed
 * the sandbox the same way, and the log says what became of it.  The file is one line:
 *
 *   inside ROLE KEY_FILE PORT PROFILE   in children inside the sandbox of PROFILE
 *   outside ROLE KEY_FILE PORT -        in children outside: the actions would work
 *   die ROLE - 0 -                      the role itself executes a program inside
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/keyctl.h>
#include <linux/perf_event.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "proxy/log.h"
#include "proxy/role.h"
#include "proxy/sandbox.h"

enum { PATIENCE_MS = 5000 };

struct action {
    const char *name;
    long (*attempt)(void); /* negative with errno: it failed */
};

static struct {
    char mode[16];
    char role[16];
    char key_file[256];
    unsigned port;
    char profile[16];
    pid_t master;
    pid_t keyholder;
    void *keyholder_memory; /* some address that is mapped there */
    char keyholder_path[64];
} probe;

bool probe_real_enter(const struct sandbox_request *request, struct sandbox_state *state,
                      struct error *error) __asm__("__real_sandbox_enter");
bool probe_enter(const struct sandbox_request *request, struct sandbox_state *state,
                 struct error *error) __asm__("__wrap_sandbox_enter");

static struct sockaddr_in probe_address(unsigned port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static long open_passwd(void)
{
    return open("/etc/passwd", O_RDONLY);
}

static long open_key(void)
{
    return open(probe.key_file, O_RDONLY);
}

static long open_keyholder_memory(void)
{
    return open(probe.keyholder_path, O_RDONLY);
}

static long list_root(void)
{
    return open("/", O_RDONLY | O_DIRECTORY);
}

static long create_file(void)
{
    return open("/tmp/pawl-probe-made", O_CREAT | O_WRONLY, 0600);
}

static long unlink_file(void)
{
    return unlink("/tmp/pawl-probe-made");
}

static long change_mode(void)
{
    return chmod("/tmp", 01777);
}

static long connect_tcp(void)
{
    const struct sockaddr_in address = probe_address(probe.port);
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    return fd < 0 ? fd : connect(fd, (const struct sockaddr *)&address, sizeof(address));
}

static long bind_tcp(void)
{
    const struct sockaddr_in address = probe_address(0);
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    return fd < 0 ? fd : bind(fd, (const struct sockaddr *)&address, sizeof(address));
}

static long execute(void)
{
    char *const arguments[] = {NULL};
    return execve("/bin/true", arguments, arguments);
}

static long fork_process(void)
{
    const pid_t child = fork();
    if (child == 0)
        _exit(0);
    return child;
}

static long new_thread(void)
{
    return syscall(SYS_clone3, NULL, 0);
}

static long trace_master(void)
{
    return ptrace(PTRACE_SEIZE, probe.master, NULL, NULL);
}

static long read_keyholder(void)
{
    char byte;
    const struct iovec here = {.iov_base = &byte, .iov_len = 1};
    const struct iovec there = {.iov_base = probe.keyholder_memory, .iov_len = 1};
    return process_vm_readv(probe.keyholder, &here, 1, &there, 1, 0);
}

static long take_descriptor(void)
{
    const long fd = syscall(SYS_pidfd_open, probe.master, 0);
    return fd < 0 ? fd : syscall(SYS_pidfd_getfd, fd, 0, 0);
}

static long signal_master(void)
{
    return kill(probe.master, 0);
}

static long map_code(void)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return page == MAP_FAILED ? -1 : 0;
}

static long socket_netlink(void)
{
    return socket(AF_NETLINK, SOCK_RAW, 0);
}

static long socket_packet(void)
{
    return socket(AF_PACKET, SOCK_RAW, 0);
}

static long socket_raw(void)
{
    return socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
}

static long socket_udp(void)
{
    return socket(AF_INET, SOCK_DGRAM, 0);
}

static long become_root(void)
{
    return setresuid(0, 0, 0);
}

static long mount_nothing(void)
{
    return mount("none", "/nowhere", "tmpfs", MS_RDONLY, NULL);
}

static long change_root(void)
{
    return chroot("/");
}

static long new_namespace(void)
{
    return unshare(CLONE_NEWUSER);
}

static long load_bpf(void)
{
    return syscall(SYS_bpf, 0, NULL, 0);
}

static long count_events(void)
{
    struct perf_event_attr attributes = {.size = sizeof(attributes)};
    return syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0);
}

static long ring_of_calls(void)
{
    struct io_uring_params parameters = {0};
    return syscall(SYS_io_uring_setup, 4, &parameters);
}

static long handle_faults(void)
{
    return syscall(SYS_userfaultfd, 0);
}

static long use_keyring(void)
{
    return syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_PROCESS_KEYRING, 1);
}

static long open_handle(void)
{
    return syscall(SYS_open_by_handle_at, AT_FDCWD, NULL, O_RDONLY);
}

static long watch_files(void)
{
    return fanotify_init(FAN_CLASS_NOTIF, O_RDONLY);
}

static long load_module(void)
{
    return syscall(SYS_init_module, NULL, 0, "");
}

static long become_traceable(void)
{
    return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static long change_personality(void)
{
    return personality(READ_IMPLIES_EXEC);
}

static long type_into_terminal(void)
{
    return ioctl(STDIN_FILENO, TIOCSTI, "x");
}

static const struct action ACTIONS[] = {
    {"open_passwd", open_passwd},
    {"open_key", open_key},
    {"open_keyholder_memory", open_keyholder_memory},
    {"list_root", list_root},
    {"create_file", create_file},
    {"unlink_file", unlink_file},
    {"change_mode", change_mode},
    {"connect_tcp", connect_tcp},
    {"bind_tcp", bind_tcp},
    {"execute", execute},
    {"fork_process", fork_process},
    {"new_thread", new_thread},
    {"trace_master", trace_master},
    {"read_keyholder", read_keyholder},
    {"take_descriptor", take_descriptor},
    {"signal_master", signal_master},
    {"map_code", map_code},
    {"socket_netlink", socket_netlink},
    {"socket_packet", socket_packet},
    {"socket_raw", socket_raw},
    {"socket_udp", socket_udp},
    {"become_root", become_root},
    {"mount_nothing", mount_nothing},
    {"change_root", change_root},
    {"new_namespace", new_namespace},
    {"load_bpf", load_bpf},
    {"count_events", count_events},
    {"ring_of_calls", ring_of_calls},
    {"handle_faults", handle_faults},
    {"use_keyring", use_keyring},
    {"open_handle", open_handle},
    {"watch_files", watch_files},
    {"load_module", load_module},
    {"become_traceable", become_traceable},
    {"change_personality", change_personality},
    {"type_into_terminal", type_into_terminal},
};

static bool probe_read_file(void)
{
    FILE *file = fopen("probe", "r");
    if (!file)
        return false;
    const int read = fscanf(file, "%15s %15s %255s %u %15s", probe.mode, probe.role,
                            probe.key_file, &probe.port, probe.profile);
    (void)fclose(file);
    return read == 5;
}

/* Whether `pid` is a keyholder of this master; it may not have begun its program yet. */
static bool probe_is_keyholder(pid_t pid)
{
    char path[64], text[512], state;
    int parent = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "r");
    if (!file)
        return false;
    const bool ours = fscanf(file, "%*d (%*[^)]) %c %d", &state, &parent) == 2 &&
                      parent == probe.master;
    (void)fclose(file);
    (void)snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
    if (!ours || !(file = fopen(path, "r")))
        return false;
    const size_t length = fread(text, 1, sizeof(text) - 1, file);
    (void)fclose(file);
    text[length] = '\0';
    const size_t name = strlen(text) + 1;
    return name < length && strcmp(text + name, "keyholder") == 0;
}

static pid_t probe_find_once(void)
{
    pid_t found = 0;
    DIR *folder = opendir("/proc");
    for (struct dirent *entry; folder && !found && (entry = readdir(folder));) {
        const pid_t pid = (pid_t)atoi(entry->d_name);
        if (pid > 0 && probe_is_keyholder(pid))
            found = pid;
    }
    if (folder)
        (void)closedir(folder);
    return found;
}

/* It is started at the same time and may not have come far. */
static void probe_find_keyholder(void)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    char path[64];
    void *start;

    probe.keyholder = 0;
    for (int i = 0; i < PATIENCE_MS && !(probe.keyholder = probe_find_once()); i++)
        (void)nanosleep(&pause, NULL);
    (void)snprintf(path, sizeof(path), "/proc/%d/maps", (int)probe.keyholder);
    (void)snprintf(probe.keyholder_path, sizeof(probe.keyholder_path), "/proc/%d/mem",
                   (int)probe.keyholder);
    FILE *file = fopen(path, "r");
    if (!file || fscanf(file, "%p", &start) != 1)
        log_info("probe: no keyholder to be read");
    else
        probe.keyholder_memory = start;
    if (file)
        (void)fclose(file);
}

static void probe_report(const char *name, int status)
{
    struct log_line line;
    const char *outcome = "done";
    log_begin(&line, LOG_LEVEL_INFO, "probe");
    log_text(&line, "action", name);
    if (WIFSIGNALED(status))
        outcome = WTERMSIG(status) == SIGSYS ? "SIGSYS" : "signal";
    else if (WEXITSTATUS(status) != 0)
        outcome = strerrorname_np(WEXITSTATUS(status));
    log_text(&line, "outcome", outcome);
    log_end(&line);
}

static void probe_try(const struct action *action, const struct sandbox_request *request)
{
    int status = 0;
    const pid_t child = fork();
    if (child == 0) {
        struct sandbox_request wanted = *request;
        struct sandbox_state state;
        struct error error;
        wanted.profile = sandbox_profile_find(probe.profile);
        (void)close(ROLE_CONTROL_FD); /* the master must not hear of this death */
        if (strcmp(probe.mode, "inside") == 0 &&
            (!wanted.profile || !probe_real_enter(&wanted, &state, &error)))
            abort();
        _exit(action->attempt() < 0 ? errno : 0);
    }
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    probe_report(action->name, status);
}

bool probe_enter(const struct sandbox_request *request, struct sandbox_state *state,
                 struct error *error)
{
    if (!probe_read_file() || strcmp(probe.role, request->profile->role) != 0)
        return probe_real_enter(request, state, error);
    if (strcmp(probe.mode, "die") == 0) {
        const bool entered = probe_real_enter(request, state, error);
        (void)execute();
        return entered;
    }
    probe.master = getppid();
    probe_find_keyholder();
    for (size_t i = 0; i < sizeof(ACTIONS) / sizeof(ACTIONS[0]); i++)
        probe_try(&ACTIONS[i], request);
    log_info("probe is over");
    return probe_real_enter(request, state, error);
}
