/* Deals with files in one way for each name that it knows, each in a process and a directory of its own. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utime.h>

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

extern char **environ;
static const char *self;

static int must(long result, const char *what) {
    if (result < 0) {
        printf("%s: %s\n", what, strerror(errno));
        exit(3);
    }
    return result;
}
#define MUST(call) must(call, #call)

static void write_to(const char *file, const char *text) {
    int fd = MUST(open(file, O_WRONLY));
    MUST(write(fd, text, strlen(text)));
    close(fd);
}

static void consume(int fd) {
    char bytes[64];
    MUST(read(fd, bytes, sizeof bytes));
    close(fd);
}

static int dir(void) { return MUST(open("d", O_RDONLY | O_DIRECTORY)); }

static void *in_thread(void *path) {
    consume(MUST(open(path, O_RDONLY)));
    return NULL;
}

#ifdef __x86_64__
static long old_call(long number, long a, long b, long c, long d) {
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c), "S"(d) : "memory", "r8", "r9", "r10", "r11");
    if (result < 0 && result > -4096) {
        errno = -result;
        return -1;
    }
    return result;
}
/* In the lower half of the address space, as the program is linked there. */
static char old_a[] = "a", old_new[] = "new", old_d[] = "d/x";
#endif

/* Changes names at random, several processes and threads at once, each holding still afterwards in the middle of
 * what it does: whoever watches does not hear of it again. Then a process tells what is where, as the kernel says it. */
struct turns {
    int turn, done;
};

static unsigned any(unsigned *seed, unsigned below) {
    *seed = *seed * 1103515245u + 12345u;
    return (*seed >> 16) % below;
}

static const char *any_name(unsigned *seed, char *to) {
    static const char *const names[] = {"p", "q", "r", "s", "t"};
    *to = 0;
    for (int depth = 1 + any(seed, 3); depth--;) {
        strcat(to, names[any(seed, 5)]);
        if (depth)
            strcat(to, any(seed, 8) ? "/" : "/../");
    }
    return to;
}

static void change_something(unsigned *seed) {
    char one[64], other[64];
    any_name(seed, one);
    any_name(seed, other);
    switch (any(seed, 9)) {
    case 0: case 1: mkdir(one, 0755); return;
    case 2: rmdir(one); return;
    case 3: unlink(one); return;
    case 4: rename(one, other); return;
    case 5: {
        int fd = open(one, O_WRONLY | O_CREAT, 0644);
        if (fd >= 0)
            close(fd);
        return;
    }
    case 6: {
        const char *slash = strrchr(other, '/');
        if (!symlink(slash ? slash + 1 : other, one))
            return;
        unlink(one);
        return;
    }
    case 7: link(one, other); return;
    default: renameat2(AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE);
    }
}

struct shuffler {
    struct turns *turns;
    unsigned seed;
    int number;
};

static void *shuffle(void *arg) {
    struct shuffler *me = arg;
    for (int turn = 1;; turn++) {
        while (__atomic_load_n(&me->turns->turn, __ATOMIC_SEQ_CST) < turn)
            usleep(200);
        /* Who has no part in it lets what it did before be over, mostly. */
        if (any(&me->seed, 4))
            open("none", O_RDONLY);
        for (int i = 0; me->number <= turn % 4 && i < 12; i++) {
            char path[64];
            change_something(&me->seed);
            for (int more = any(&me->seed, 4); more--;)
                close(open(any_name(&me->seed, path), O_RDONLY));
        }
        if (me->number <= turn % 4)
            change_something(&me->seed);
        __atomic_add_fetch(&me->turns->done, 1, __ATOMIC_SEQ_CST);
    }
    return NULL;
}

/* Prints what each name leads to, and opens it for whoever watches. */
static void tell_all(int turn) {
    char path[128], link[64], target[256];
    snprintf(path, sizeof path, "turn-%d", turn);
    open(path, O_RDONLY);
    printf("turn-%d", turn);
    for (int i = 0; i < 18 + 90 + 150; i++) {
        static const char *const names[] = {"p", "q", "r", "s", "t", "../shuffle/p"};
        static const char *const ends[] = {"", "/", "/.."}, *const more[] = {"", "/.", "/../p"};
        int at = i;
        if (at < 18)
            snprintf(path, sizeof path, "%s%s", names[at % 6], ends[at / 6]);
        else if ((at -= 18) < 90)
            snprintf(path, sizeof path, "%s/%s%s", names[at % 6], names[at / 6 % 5], more[at / 30]);
        else
            at -= 90, snprintf(path, sizeof path, "%s/%s/%s", names[at % 6], names[at / 6 % 5], names[at / 30 % 5]);
        int fd = open(path, O_RDONLY);
        if (fd < 0)
            continue;
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        long length = MUST(readlink(link, target, sizeof target - 1));
        target[length] = 0;
        printf(" %s", target);
        close(fd);
    }
    printf("\n");
    fflush(stdout);
}

static void *opens_much(void *nothing) {
    for (int i = 0; i < 20; i++)
        close(open(i % 2 ? "a" : "none", O_RDONLY));
    return nothing;
}

static int chdir_when_told(void *go) {
    char byte;
    return read(*(int *)go, &byte, 1) != 1 || chdir("d");
}

static int open_a(void *nothing) {
    (void)nothing;
    return dup2(open("a", O_RDONLY), 7) != 7;
}

static void exec_self(const char *arg) {
    char *args[] = {(char *)self, (char *)arg, NULL};
    execv(self, args);
    _exit(4);
}

static void send_fd(int socket, int fd) {
    char byte = 0, room[CMSG_SPACE(sizeof fd)] = {0};
    struct iovec data = {&byte, 1};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(header), &fd, sizeof fd);
    MUST(sendmsg(socket, &message, 0));
}

static int receive_fd(int socket) {
    char byte, room[CMSG_SPACE(sizeof(int))];
    struct iovec data = {&byte, 1};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
    MUST(recvmsg(socket, &message, 0));
    int fd;
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
    return fd;
}

static void way(const char *how) {
    char path[64];
    struct timespec times[2] = {{1, 0}, {1, 0}};
    int fd, status;
#define IS(name) if (!strcmp(how, name))
    IS("none") return;
    /* Opening. */
    IS("openat") { consume(MUST(open("a", O_RDONLY))); return; }
    IS("openat2") {
        struct open_how want = {.flags = O_RDONLY, .resolve = RESOLVE_BENEATH};
        consume(MUST(syscall(SYS_openat2, AT_FDCWD, "a", &want, sizeof want)));
        return;
    }
    IS("resolve-escape") {
        struct open_how want = {.flags = O_RDONLY, .resolve = RESOLVE_BENEATH};
        if (syscall(SYS_openat2, dir(), "../a", &want, sizeof want) >= 0)
            exit(3);
        return;
    }
    if (!strncmp(how, "resolve-", 8)) {
        struct open_how want = {.flags = O_RDONLY, .resolve = strtoul(how + 8, NULL, 16)};
        fd = syscall(SYS_openat2, AT_FDCWD, "d/x", &want, sizeof want);
        /* What is not in the kernel's memory would have to be read. */
        if (fd < 0 && errno != EAGAIN)
            exit(3);
        return;
    }
    IS("in-root") {
        struct open_how want = {.flags = O_RDONLY, .resolve = RESOLVE_IN_ROOT};
        consume(MUST(syscall(SYS_openat2, dir(), "/x", &want, sizeof want)));
        return;
    }
    IS("update") { MUST(open("a", O_RDWR)); return; }
    IS("append") { MUST(open("a", O_WRONLY | O_APPEND)); return; }
    IS("open-trunc") { MUST(open("a", O_WRONLY | O_TRUNC)); return; }
    IS("create") { MUST(open("new", O_WRONLY | O_CREAT, 0644)); return; }
    IS("create-old") { MUST(open("a", O_WRONLY | O_CREAT | O_TRUNC, 0644)); return; }
    IS("create-old-mode") { MUST(open("a", O_WRONLY | O_CREAT | O_TRUNC, 0755)); return; }
    IS("create-old-umask") { umask(077); MUST(open("a", O_WRONLY | O_CREAT | O_TRUNC, 0644)); return; }
    IS("create-read") {
        close(MUST(open("new", O_WRONLY | O_CREAT, 0644)));
        MUST(open("new", O_RDONLY));
        return;
    }
    IS("exclusive") { MUST(open("new", O_RDWR | O_CREAT | O_EXCL, 0644)); return; }
    IS("exclusive-old") { open("a", O_RDWR | O_CREAT | O_EXCL, 0644); return; }
    IS("missing") { open("none", O_RDONLY); return; }
    IS("missing-below") { open("none/x", O_RDONLY | O_CREAT, 0644); return; }
    IS("missing-in-file") { open("a/x", O_RDONLY); return; }
    IS("list") { dir(); return; }
    IS("path-only") { MUST(open("a", O_PATH)); return; }
    IS("path-reopen") {
        snprintf(path, sizeof path, "/proc/self/fd/%d", MUST(open("a", O_PATH)));
        consume(MUST(open(path, O_RDONLY)));
        return;
    }
    IS("thread-self") {
        snprintf(path, sizeof path, "/proc/thread-self/fd/%d", MUST(open("a", O_PATH)));
        consume(MUST(open(path, O_RDONLY)));
        return;
    }
    IS("dev-fd") {
        snprintf(path, sizeof path, "/dev/fd/%d", MUST(open("a", O_PATH)));
        consume(MUST(open(path, O_RDONLY)));
        return;
    }
    IS("by-cwd-link") { consume(MUST(open("/proc/self/cwd/d/x", O_RDONLY))); return; }
    IS("at-descriptor") { consume(MUST(openat(open("d", O_PATH), "x", O_RDONLY))); return; }
    IS("chdir") {
        consume(MUST(open("a", O_RDONLY)));
        MUST(chdir("d"));
        consume(MUST(open("x", O_RDONLY)));
        return;
    }
    IS("fchdir") {
        consume(MUST(open("a", O_RDONLY)));
        MUST(fchdir(open("d", O_PATH)));
        consume(MUST(open("x", O_RDONLY)));
        return;
    }
    IS("up") { MUST(chdir("d")); consume(MUST(open("../a", O_RDONLY))); return; }
    IS("back") { consume(MUST(open("d/../a", O_RDONLY))); return; }
    IS("back-link") { consume(MUST(open("ld/../a", O_RDONLY))); return; }
    IS("link-read") { consume(MUST(open("la", O_RDONLY))); return; }
    IS("link-dir") { consume(MUST(open("ld/x", O_RDONLY))); return; }
    IS("link-missing") { open("ld/none", O_RDONLY); return; }
    IS("link-nofollow") { open("la", O_RDONLY | O_NOFOLLOW); return; }
    IS("link-dangling") { open("lost", O_RDONLY); return; }
    IS("link-dangling-create") { MUST(open("lost", O_WRONLY | O_CREAT, 0644)); return; }
    IS("link-loop") { open("loop", O_RDONLY); return; }
    IS("map") {
        fd = MUST(open("a", O_RDONLY));
        if (mmap(NULL, 1, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED)
            exit(3);
        return;
    }
    IS("deleted") {
        fd = MUST(open("a", O_RDONLY));
        MUST(unlink("a"));
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        consume(MUST(open(path, O_RDONLY)));
        return;
    }
    IS("removed-up") {
        MUST(mkdir("new", 0755));
        MUST(chdir("new"));
        open("early", O_RDONLY);
        MUST(rmdir("../new"));
        consume(MUST(open("../a", O_RDONLY)));
        consume(MUST(open(".//../d/x", O_RDONLY)));
        MUST(mkdir("../new", 0755));
        open("late", O_RDONLY);
        return;
    }
    IS("shared-cwd") {
        consume(MUST(open("a", O_RDONLY)));
        static char stack[65536] __attribute__((aligned(16)));
        int go[2];
        MUST(pipe(go));
        pid_t pid = MUST(clone(chdir_when_told, stack + sizeof stack, CLONE_FS | SIGCHLD, &go[0]));
        consume(MUST(open("b", O_RDONLY)));
        MUST(write(go[1], "", 1));
        waitpid(pid, &status, 0);
        consume(MUST(open("x", O_RDONLY)));
        return;
    }
    IS("shared-descriptors") {
        static char stack[65536] __attribute__((aligned(16)));
        pid_t pid = MUST(clone((int (*)(void *))open_a, stack + sizeof stack, CLONE_FILES | SIGCHLD, NULL));
        waitpid(pid, &status, 0);
        consume(7);
        return;
    }
    IS("descriptor-taken") {
        pid_t pid = fork();
        if (pid == 0) {
            MUST(dup2(MUST(open("a", O_RDONLY)), 7));
            pause();
        }
        int handle = MUST(syscall(SYS_pidfd_open, pid, 0));
        for (fd = -1; fd < 0; usleep(1000))
            if ((fd = syscall(SYS_pidfd_getfd, handle, 7, 0)) < 0 && errno == EPERM)
                break;
        if (fd >= 0)
            read(fd, path, 1);
        kill(pid, SIGKILL);
        wait(&status);
        return;
    }
    IS("memfd") {
        snprintf(path, sizeof path, "/proc/self/fd/%d", MUST(memfd_create("name", 0)));
        MUST(open(path, O_RDWR));
        return;
    }
    IS("descriptors-gone") {
        MUST(close_range(0, ~0U, 0));
        open("a", O_RDONLY);
        return;
    }
    IS("not-dumpable") {
        MUST(prctl(PR_SET_DUMPABLE, 0));
        consume(MUST(open("a", O_RDONLY)));
        return;
    }
    IS("bad-address") { syscall(SYS_openat, AT_FDCWD, 8L, 0, 0); return; }
    IS("long-name") {
        char name[257] = {0};
        memset(name, 'n', 255);
        MUST(open(name, O_WRONLY | O_CREAT, 0644));
        return;
    }
    IS("page-end") {
        /* The text ends where its page does, and nothing comes after. */
        char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        munmap(pages + 4096, 4096);
        consume(MUST(open(strcpy(pages + 4094, "a"), O_RDONLY)));
        return;
    }
    IS("page-unread") {
        /* The kernel reads what nobody else may. */
        char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        strcpy(page, "a");
        MUST(mprotect(page, 4096, PROT_WRITE));
        consume(MUST(open(page, O_RDONLY)));
        return;
    }
    /* Making. */
    IS("mkdirat") { MUST(mkdirat(AT_FDCWD, "new", 0755)); return; }
    IS("mkdir-old") { mkdirat(AT_FDCWD, "d", 0755); return; }
    IS("mknodat") { MUST(mknodat(AT_FDCWD, "new", S_IFIFO | 0644, 0)); return; }
    IS("symlinkat") { MUST(symlinkat("a", dir(), "new")); return; }
    IS("bind") {
        struct sockaddr_un to = {.sun_family = AF_UNIX, .sun_path = "new"};
        MUST(bind(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&to, sizeof to));
        return;
    }
    /* Naming. */
    IS("linkat") { MUST(linkat(AT_FDCWD, "a", AT_FDCWD, "new", 0)); return; }
    IS("linkat-link") { MUST(linkat(AT_FDCWD, "la", AT_FDCWD, "new", 0)); return; }
    IS("linkat-follow") { MUST(linkat(AT_FDCWD, "la", AT_FDCWD, "new", AT_SYMLINK_FOLLOW)); return; }
    IS("linkat-old") { linkat(AT_FDCWD, "a", AT_FDCWD, "b", 0); return; }
    IS("nameless") {
        fd = MUST(open(".", O_TMPFILE | O_RDWR, 0644));
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        MUST(linkat(AT_FDCWD, path, AT_FDCWD, "new", AT_SYMLINK_FOLLOW));
        return;
    }
    IS("nameless-empty") {
        fd = MUST(open(".", O_TMPFILE | O_RDWR, 0644));
        linkat(fd, "", AT_FDCWD, "new", AT_EMPTY_PATH);
        return;
    }
    IS("rename-whiteout") {
        if (renameat2(AT_FDCWD, "a", AT_FDCWD, "new", RENAME_WHITEOUT))
            MUST(renameat2(AT_FDCWD, "a", AT_FDCWD, "new", 0));
        return;
    }
    /* Refused: what is read afterwards was there before. */
    IS("refused-unlink") {
        MUST(chmod("d", 0555));
        if (!unlink("d/x"))
            exit(3);
        consume(MUST(open("d/x", O_RDONLY)));
        MUST(chmod("d", 0755));
        return;
    }
    IS("refused-rename") {
        if (!rename("a", "/tmp/a"))
            exit(3);
        consume(MUST(open("a", O_RDONLY)));
        return;
    }
    IS("refused-truncation") {
        MUST(chmod("a", 0444));
        if (open("a", O_WRONLY | O_TRUNC) >= 0 || !truncate("a", 0))
            exit(3);
        consume(MUST(open("a", O_RDONLY)));
        return;
    }
    IS("refused-rmdir") {
        if (!rmdir("d"))
            exit(3);
        dir();
        return;
    }
    IS("chmod-then-read") {
        MUST(chmod("a", 0600));
        MUST(utimensat(AT_FDCWD, "b", times, 0));
        consume(MUST(open("a", O_RDONLY)));
        consume(MUST(open("b", O_RDONLY)));
        return;
    }
    IS("replaced-then-read") {
        MUST(open("a", O_WRONLY | O_TRUNC));
        MUST(rename("b", "new"));
        consume(MUST(open("a", O_RDONLY)));
        consume(MUST(open("new", O_RDONLY)));
        return;
    }
    IS("renameat") { MUST(renameat(AT_FDCWD, "a", dir(), "new")); return; }
    IS("rename-over") { MUST(renameat(AT_FDCWD, "a", AT_FDCWD, "b")); return; }
    IS("rename-missing") { renameat(AT_FDCWD, "none", AT_FDCWD, "b"); return; }
    IS("rename-noreplace") { renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE); return; }
    IS("rename-exchange") { MUST(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_EXCHANGE)); return; }
    IS("rename-dir") {
        MUST(mkdir("new", 0755));
        MUST(chdir("new"));
        close(MUST(open("one", O_WRONLY | O_CREAT, 0644)));
        MUST(renameat(AT_FDCWD, "../new", AT_FDCWD, "../newer"));
        MUST(open("two", O_WRONLY | O_CREAT, 0644));
        return;
    }
    IS("unlinkat") { MUST(unlinkat(AT_FDCWD, "a", 0)); return; }
    IS("unlinkat-link") { MUST(unlinkat(AT_FDCWD, "la", 0)); return; }
    IS("unlinkat-missing") { unlinkat(AT_FDCWD, "none", 0); return; }
    IS("rmdir") { MUST(unlinkat(AT_FDCWD, "empty", AT_REMOVEDIR)); return; }
    /* Changing. */
    IS("truncate") { MUST(truncate("a", 0)); return; }
    IS("truncate-part") { MUST(truncate("a", 1)); return; }
    IS("ftruncate") { MUST(ftruncate(open("a", O_WRONLY), 1)); return; }
    IS("fallocate") { MUST(posix_fallocate(open("a", O_WRONLY), 0, 100)); return; }
    IS("copy-range") {
        if (copy_file_range(open("a", O_RDONLY), NULL, MUST(open("b", O_WRONLY)), NULL, 3, 0) < 0 && errno != EXDEV)
            exit(3);
        return;
    }
    IS("fchmod") { MUST(fchmod(open("a", O_RDONLY), 0600)); return; }
    IS("fchmodat") { MUST(syscall(SYS_fchmodat, AT_FDCWD, "la", 0600)); return; }
    IS("fchmodat2") { MUST(syscall(SYS_fchmodat2, AT_FDCWD, "a", 0600, AT_SYMLINK_NOFOLLOW)); return; }
    IS("fchmod-path") {
        fd = MUST(open("a", O_PATH));
        MUST(syscall(SYS_fchmodat2, fd, "", 0600, AT_EMPTY_PATH));
        return;
    }
    IS("fchownat") { MUST(fchownat(AT_FDCWD, "la", getuid(), getgid(), AT_SYMLINK_NOFOLLOW)); return; }
    IS("fchownat-follow") { MUST(fchownat(AT_FDCWD, "la", getuid(), getgid(), 0)); return; }
    IS("fchown") { MUST(fchown(open("d", O_RDONLY), getuid(), getgid())); return; }
    IS("utimensat") { MUST(utimensat(AT_FDCWD, "a", times, 0)); return; }
    IS("utimensat-link") { MUST(utimensat(AT_FDCWD, "la", times, AT_SYMLINK_NOFOLLOW)); return; }
    IS("futimens") { MUST(futimens(open("a", O_RDONLY), times)); return; }
    IS("utimensat-empty") { utimensat(open("a", O_PATH), "", times, AT_EMPTY_PATH); return; }
    IS("setxattr") {
        if (!syscall(SYS_setxattr, "a", "user.x", "", 0, 0) || !syscall(SYS_lsetxattr, "a", "user.x", "", 0, 0))
            exit(3);
        return;
    }
    IS("denied") {
        /* What would go past any observer. */
        char parameters[256] = {0};
        if (syscall(425, 8, parameters) >= 0 || errno != ENOSYS)
            exit(3);
        if (mount("none", ".", "tmpfs", 0, NULL) == 0 || chroot("d") == 0 || syscall(SYS_fsopen, "tmpfs", 0) >= 0)
            exit(3);
        if (syscall(SYS_open_tree, AT_FDCWD, ".", 1) >= 0)
            exit(3);
        return;
    }
    IS("own-mount") {
        if (unshare(CLONE_NEWUSER | CLONE_NEWNS) || mount("none", "d", "tmpfs", 0, NULL))
            printf("no namespace");
        return;
    }
    IS("own-rights") {
        char users[32], groups[32];
        sprintf(users, "0 %d 1", getuid());
        sprintf(groups, "0 %d 1", getgid());
        MUST(chmod("d", 0));
        if (unshare(CLONE_NEWUSER))
            printf("no namespace");
        write_to("/proc/self/setgroups", "deny");
        write_to("/proc/self/uid_map", users);
        write_to("/proc/self/gid_map", groups);
        consume(MUST(open("d/x", O_RDONLY)));
        MUST(chmod("d", 0755));
        return;
    }
    IS("too-long") {
        char name[201] = {0};
        memset(name, 'n', 200);
        for (int i = 0; i < 20; i++) {
            MUST(mkdir(name, 0755));
            MUST(chdir(name));
        }
        close(MUST(open(name, O_WRONLY | O_CREAT, 0644)));
        return;
    }
    IS("own-root") {
        if (unshare(CLONE_NEWUSER) || chroot("d"))
            printf("no namespace");
        return;
    }
    IS("removexattr") { syscall(SYS_removexattr, "a", "user.x"); return; }
    IS("fremovexattr") { syscall(SYS_fremovexattr, open("a", O_RDONLY), "user.x"); return; }
    /* Processes. */
    IS("thread") {
        pthread_t thread;
        MUST(-pthread_create(&thread, NULL, in_thread, "d/x"));
        pthread_join(thread, NULL);
        consume(MUST(open("a", O_RDONLY)));
        return;
    }
    IS("thread-exec") {
        pthread_t thread;
        MUST(-pthread_create(&thread, NULL, (void *(*)(void *))exec_self, "openat"));
        pthread_join(thread, NULL);
        return;
    }
    IS("fork-exec") { if (fork() == 0) exec_self("openat"); wait(&status); return; }
    IS("fork-only") { if (fork() == 0) { consume(MUST(open("a", O_RDONLY))); _exit(0); } wait(&status); return; }
    IS("vfork") { if (vfork() == 0) exec_self("openat"); wait(&status); return; }
    IS("spawn") {
        char *args[] = {(char *)self, "openat", NULL};
        pid_t pid;
        MUST(-posix_spawn(&pid, self, NULL, NULL, args, environ));
        waitpid(pid, &status, 0);
        return;
    }
    IS("exec-missing") { char *args[] = {"x", NULL}; execv("none", args); consume(MUST(open("a", O_RDONLY))); return; }
    IS("exec-refused") { char *args[] = {"x", NULL}; execv("a", args); return; }
    IS("exec-broken") { char *args[] = {"x", NULL}; execv("broken", args); consume(MUST(open("a", O_RDONLY))); return; }
    IS("exec-script") { char *args[] = {"x", NULL}; execv("script", args); return; }
    IS("execveat") {
        char *args[] = {(char *)self, "openat", NULL};
        syscall(SYS_execveat, open(self, O_PATH), "", args, environ, AT_EMPTY_PATH);
        exit(3);
    }
    IS("execveat-at") {
        char *args[] = {"x", NULL};
        MUST(symlink("../script", "d/link"));
        syscall(SYS_execveat, dir(), "link", args, environ, 0);
        exit(3);
    }
    IS("executed-and-killed") {
        pid_t pid = fork();
        if (pid == 0)
            exec_self("spin");
        usleep(50000);
        kill(pid, SIGKILL);
        wait(&status);
        return;
    }
    IS("spin") for (;;) pause();
    IS("exec-memory") {
        int from = MUST(open(self, O_RDONLY)), to = MUST(memfd_create("copy", 0));
        char *args[] = {(char *)self, "openat", NULL}, bytes[65536];
        for (long count; (count = read(from, bytes, sizeof bytes)) > 0;)
            MUST(write(to, bytes, count));
        close(from);
        fexecve(to, args, environ);
        exit(3);
    }
    IS("inherited") {
        fd = MUST(open("a", O_RDONLY));
        MUST(open("new", O_WRONLY | O_CREAT, 0644));
        if (fork() == 0)
            exec_self("none");
        wait(&status);
        return;
    }
    if (!strcmp(how, "passed") || !strcmp(how, "passed-on")) {
        int sockets[2];
        MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
        if (fork() == 0) {
            char byte;
            fd = receive_fd(sockets[1]);
            MUST(read(fd, &byte, 1));
            if (!strcmp(how, "passed-on"))
                close(fd);
            _exit(0);
        }
        send_fd(sockets[0], MUST(open("a", O_RDONLY)));
        wait(&status);
        return;
    }
    IS("code") { if (fork() == 0) { open("a", O_RDONLY); _exit(7); } wait(&status); return; }
    IS("signal") { if (fork() == 0) { open("a", O_RDONLY); raise(SIGKILL); } wait(&status); return; }
    if (!strcmp(how, "filter") || !strcmp(how, "listener")) {
        struct sock_filter allow = {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW};
        struct sock_fprog program = {1, &allow};
        int listener = !strcmp(how, "listener");
        long result = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, listener ? SECCOMP_FILTER_FLAG_NEW_LISTENER : 0, &program);
        if (listener ? result >= 0 || errno != EBUSY : result != 0)
            exit(3);
        consume(MUST(open("a", O_RDONLY)));
        return;
    }
    /* Looking. */
    IS("look") {
        struct stat buffer;
        struct statx large;
        stat("a", &buffer);
        lstat("la", &buffer);
        access("b", R_OK);
        faccessat(AT_FDCWD, "none", R_OK, 0);
        readlink("ld", path, sizeof path);
        statx(AT_FDCWD, "d/x", 0, STATX_ALL, &large);
        fstat(0, &buffer);
        fstatat(AT_FDCWD, "empty", &buffer, AT_EMPTY_PATH);
        MUST(chdir("none-either") == 0 || errno != ENOENT ? -1 : 0);
        return;
    }
#ifdef __x86_64__
    /* The calls that newer architectures do without. */
    IS("open") { consume(MUST(syscall(SYS_open, "a", O_RDONLY))); return; }
    IS("creat") { MUST(syscall(SYS_creat, "new", 0644)); return; }
    IS("creat-old") { MUST(syscall(SYS_creat, "a", 0644)); return; }
    IS("mkdir") { MUST(syscall(SYS_mkdir, "new", 0755)); return; }
    IS("mknod") { MUST(syscall(SYS_mknod, "new", S_IFREG | 0644, 0)); return; }
    IS("symlink") { MUST(syscall(SYS_symlink, "a", "new")); return; }
    IS("link") { MUST(syscall(SYS_link, "a", "new")); return; }
    IS("rename") { MUST(syscall(SYS_rename, "a", "new")); return; }
    IS("unlink") { MUST(syscall(SYS_unlink, "a")); return; }
    IS("rmdir-old") { MUST(syscall(SYS_rmdir, "empty")); return; }
    IS("chmod") { MUST(syscall(SYS_chmod, "a", 0600)); return; }
    IS("chown") { MUST(syscall(SYS_chown, "la", getuid(), getgid())); return; }
    IS("lchown") { MUST(syscall(SYS_lchown, "la", getuid(), getgid())); return; }
    IS("utime") { MUST(syscall(SYS_utime, "a", NULL)); return; }
    IS("utimes") { MUST(syscall(SYS_utimes, "a", NULL)); return; }
    IS("futimesat") { MUST(syscall(SYS_futimesat, AT_FDCWD, "a", NULL)); return; }
    IS("i386-open") { MUST(old_call(5, (long)old_a, O_RDONLY, 0, 0)); return; }
    IS("i386-openat") { MUST(old_call(295, AT_FDCWD, (long)old_d, O_RDONLY, 0)); return; }
    IS("i386-creat") { MUST(old_call(8, (long)old_new, 0644, 0, 0)); return; }
    IS("i386-rename") { MUST(old_call(38, (long)old_a, (long)old_new, 0, 0)); return; }
    IS("i386-link") { MUST(old_call(9, (long)old_a, (long)old_new, 0, 0)); return; }
    IS("i386-symlink") { MUST(old_call(83, (long)old_a, (long)old_new, 0, 0)); return; }
    IS("i386-mkdir") { MUST(old_call(39, (long)old_new, 0755, 0, 0)); return; }
    IS("i386-truncate") { MUST(old_call(92, (long)old_a, 1, 0, 0)); return; }
    IS("i386-chmod") { MUST(old_call(15, (long)old_a, 0600, 0, 0)); return; }
    IS("i386-utimensat") { MUST(old_call(320, AT_FDCWD, (long)old_a, 0, 0)); return; }
    IS("i386-unlinkat") { MUST(old_call(301, AT_FDCWD, (long)old_a, 0, 0)); return; }
#endif
    /* Bad manners. */
    IS("forks") {
        for (int i = 0; i < 300; i++)
            if (fork() == 0) {
                signal(SIGTERM, SIG_IGN);
                open("a", O_RDONLY);
                _exit(0);
            }
        while (wait(NULL) > 0)
            ;
        return;
    }
    IS("repeats") {
        for (int i = 0; i < 20000; i++)
            close(open(i % 2 ? "a" : "none", O_RDONLY));
        return;
    }
    IS("names") {
        for (int i = 0; i < 20000; i++) {
            snprintf(path, sizeof path, "name-that-takes-some-room-%d", i);
            open(path, O_RDONLY);
        }
        return;
    }
    IS("descriptors") {
        for (int i = 0; i < 900; i++)
            MUST(open("a", O_RDONLY));
        if (fork() == 0)
            exec_self("none");
        wait(&status);
        return;
    }
    IS("deep") {
        for (int i = 0; i < 200; i++) {
            MUST(mkdir("deep", 0755));
            MUST(chdir("deep"));
        }
        close(MUST(open("bottom", O_WRONLY | O_CREAT, 0644)));
        return;
    }
    IS("too-deep") {
        char name[201] = {0};
        memset(name, 'n', 200);
        for (int i = 0; i < 25; i++) {
            MUST(mkdir(name, 0755));
            MUST(chdir(name));
        }
        close(MUST(open("bottom", O_WRONLY | O_CREAT, 0644)));
        return;
    }
    IS("racing") {
        /* Another process changes the text while the kernel looks at it. */
        char *text = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        strcpy(text, "a");
        pid_t pid = fork();
        if (pid == 0)
            for (;;)
                *(volatile char *)text ^= 'a' ^ 'b';
        for (int i = 0; i < 2000; i++)
            close(MUST(open(text, O_RDONLY)));
        kill(pid, SIGKILL);
        wait(&status);
        return;
    }
    IS("shuffle") {
        struct turns *turns = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        struct shuffler shufflers[4];
        pthread_t thread;
        pid_t pids[2];
        for (int i = 0; i < 4; i++)
            shufflers[i] = (struct shuffler){turns, 77u * i + 1, i};
        for (int i = 0; i < 2; i++)
            if ((pids[i] = fork()) == 0)
                shuffle(&shufflers[i]);
        for (int i = 2; i < 4; i++)
            MUST(-pthread_create(&thread, NULL, shuffle, &shufflers[i]));
        for (int turn = 1; turn <= 40; turn++) {
            turns->done = 0;
            __atomic_store_n(&turns->turn, turn, __ATOMIC_SEQ_CST);
            while (__atomic_load_n(&turns->done, __ATOMIC_SEQ_CST) < 4)
                usleep(200);
            for (int again = 0; again < 2; again++) {
                if (fork() == 0) {
                    tell_all(2 * turn + again);
                    _exit(0);
                }
                wait(&status);
            }
        }
        kill(pids[0], SIGKILL);
        kill(pids[1], SIGKILL);
        _exit(0);
    }
    if (!strncmp(how, "opens-", 6)) {
        /* One file, by as many paths as there are times. */
        for (long i = 0, count = atol(how + 6); i < count; i++) {
            *path = 0;
            for (long bits = i; bits; bits >>= 1)
                strcat(path, bits & 1 ? "d/../" : "./");
            close(MUST(open(strcat(path, "a"), O_RDONLY)));
        }
        return;
    }
    IS("racing-many") {
        char *text = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        *text = 'a';
        pid_t pid = fork();
        if (pid == 0)
            for (;;)
                *(volatile char *)text ^= 'a' ^ 'b';
        for (int i = 0; i < 1000; i++) {
            sprintf(text + 1, "%d", i);
            close(MUST(open(text, O_RDONLY)));
        }
        kill(pid, SIGKILL);
        wait(&status);
        return;
    }
    IS("threads") {
        pthread_t threads[200];
        for (int i = 0; i < 200; i++)
            MUST(-pthread_create(&threads[i], NULL, opens_much, NULL));
        for (int i = 0; i < 200; i++)
            pthread_join(threads[i], NULL);
        return;
    }
    IS("many-descriptors") {
        struct rlimit limit;
        getrlimit(RLIMIT_NOFILE, &limit);
        limit.rlim_cur = limit.rlim_max < 5000 ? limit.rlim_max : 5000;
        setrlimit(RLIMIT_NOFILE, &limit);
        fd = MUST(open("a", O_RDONLY));
        while (dup(fd) >= 0)
            ;
        if (fork() == 0)
            exec_self("none");
        wait(&status);
        return;
    }
    IS("closes-all") {
        pid_t pid = fork();
        if (pid == 0) {
            for (int i = 0; i < 1024; i++)
                close(i);
            MUST(open("a", O_RDONLY));
            close(0);
            exec_self("reads-x");
        }
        waitpid(pid, &status, 0);
        if (status)
            exit(3);
        return;
    }
    IS("reads-x") { MUST(open("d/x", O_RDONLY)); return; }
    IS("stubborn") {
        for (int i = 1; i < 32; i++)
            signal(i, SIG_IGN);
        if (fork() == 0) {
            setsid();
            consume(MUST(open("a", O_RDONLY)));
            for (;;)
                pause();
        }
        usleep(50000);
        return;
    }
    IS("dumps-core") {
        if (fork() == 0) {
            struct rlimit none = {0, 0};
            setrlimit(RLIMIT_CORE, &none);
            consume(MUST(open("a", O_RDONLY)));
            abort();
        }
        wait(&status);
        return;
    }
    IS("deep-list") {
        for (int i = 0; i < 200; i++) {
            MUST(mkdir("d", 0755) && errno != EEXIST ? -1 : 0);
            MUST(chdir("d"));
            close(MUST(open(".", O_RDONLY | O_DIRECTORY)));
        }
        return;
    }
    IS("bomb") {
        /* Bounded, for the sake of the machine; all are there at once. */
        int *count = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        while (__atomic_add_fetch(count, 1, __ATOMIC_SEQ_CST) < 3000)
            if (fork() >= 0)
                open("a", O_RDONLY);
        for (;;)
            pause();
    }
    IS("left-behind") {
        if (fork() == 0) {
            signal(SIGTERM, SIG_IGN);
            signal(SIGHUP, SIG_IGN);
            for (;;)
                close(open("a", O_RDONLY));
        }
        usleep(20000);
        return;
    }
    IS("by-handle") {
        union {
            struct file_handle handle;
            char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
        } handle = {{.handle_bytes = MAX_HANDLE_SZ}};
        int mount;
        name_to_handle_at(AT_FDCWD, "a", &handle.handle, &mount, 0);
        open_by_handle_at(AT_FDCWD, &handle.handle, O_RDONLY);
        return;
    }
    printf("%s?\n", how);
    exit(2);
}

int main(int argc, char **argv) {
    self = argv[0];
    if (argc < 2)
        return 2;
    if (strcmp(argv[1], "all")) {
        way(argv[1]);
        return 0;
    }
    for (int i = 2; i < argc; i++) {
        int status;
        if (fork() == 0) {
            MUST(chdir(argv[i]));
            exec_self(argv[i]);
        }
        wait(&status);
        if (status)
            printf("%s ends with %x\n", argv[i], status);
    }
    return 0;
}
