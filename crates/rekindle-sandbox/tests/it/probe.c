/* Makes system calls and prints "name errno" for each, 0 for success. Works without anything else in the sandbox. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif
#define SYS_SETXATTRAT 463

static void show(const char *name, long result) {
    printf("%s %d\n", name, result < 0 ? errno : 0);
}

static char file[] = "/tmp/file", attribute[] = "user.x", value[] = "y";

static void calls(void) {
    int fd = open(file, O_CREAT | O_RDWR, 0644);
#ifdef SYS_chmod
    show("chmod", syscall(SYS_chmod, file, 04755));
    show("chmod-plain", syscall(SYS_chmod, file, 0755));
    show("chmod-sticky", syscall(SYS_chmod, file, 01755));
#endif
    show("fchmod", syscall(SYS_fchmod, fd, 02755));
    show("fchmod-plain", syscall(SYS_fchmod, fd, 0700));
    show("fchmodat", syscall(SYS_fchmodat, AT_FDCWD, file, 06755));
    show("fchmodat2", syscall(SYS_fchmodat2, AT_FDCWD, file, 04755, 0));
    show("setxattr", syscall(SYS_setxattr, file, attribute, value, 1, 0));
    show("lsetxattr", syscall(SYS_lsetxattr, file, attribute, value, 1, 0));
    show("fsetxattr", syscall(SYS_fsetxattr, fd, attribute, value, 1, 0));
    show("setxattrat", syscall(SYS_SETXATTRAT, AT_FDCWD, file, 0, attribute, NULL, 0));
    show("io_uring_setup", syscall(SYS_io_uring_setup, 1, NULL));
    show("io_uring_enter", syscall(SYS_io_uring_enter, 0, 0, 0, 0, NULL, 0));
    show("io_uring_register", syscall(SYS_io_uring_register, 0, 0, NULL, 0));
    show("add_key", syscall(SYS_add_key, "user", attribute, value, 1, -3));
    show("request_key", syscall(SYS_request_key, "user", attribute, NULL, 0));
    show("keyctl", syscall(SYS_keyctl, 0, -3, 0));
    show("vsock", socket(AF_VSOCK, SOCK_STREAM, 0));
    show("unix", socket(AF_UNIX, SOCK_STREAM, 0));
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

/* A 64-bit program may make i386 calls; and x32 ones, by a bit in the number. */
static void foreign_calls(void) {
    close(open(file, O_CREAT | O_RDWR, 0644));
    show("i386-chmod", old_call(15, (long)file, 04755, 0, 0));
    show("i386-chmod-plain", old_call(15, (long)file, 0755, 0, 0));
    show("i386-fchmodat", old_call(306, AT_FDCWD, (long)file, 04755, 0));
    show("i386-setxattr", old_call(226, (long)file, (long)attribute, (long)value, 1));
    show("i386-io_uring_setup", old_call(425, 1, 0, 0, 0));
    show("i386-keyctl", old_call(288, 0, -3, 0, 0));
    show("x32-getpid", syscall(0x40000000 + SYS_getpid));
    show("x32-chmod", syscall(0x40000000 + SYS_chmod, file, 04755));
}
#endif

static int address(struct sockaddr_in *to, const char *text) {
    memset(to, 0, sizeof *to);
    to->sin_family = AF_INET;
    to->sin_port = htons(4242);
    return inet_pton(AF_INET, text, &to->sin_addr);
}

static void loopback(void) {
    struct sockaddr_in to;
    address(&to, "127.0.0.1");
    int server = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(server, (void *)&to, sizeof to) < 0 || listen(server, 1) < 0)
        perror("listen");
    show("loopback", connect(client, (void *)&to, sizeof to));
}

static void elsewhere(void) {
    struct sockaddr_in to;
    address(&to, "192.0.2.1");
    show("elsewhere", connect(socket(AF_INET, SOCK_STREAM, 0), (void *)&to, sizeof to));
}

static void list(const char *path) {
    struct dirent **entries;
    int count = scandir(path, &entries, NULL, alphasort);
    for (int i = 0; i < count; i++)
        printf("%s%s", i ? " " : "", entries[i]->d_name);
    printf("\n");
}

/* Ways to deal with a file. */
static void file_call(const char *how, const char *a, const char *b) {
    char byte = 'x', path[64];
    struct stat stat_buffer;
    int fd;
    if (!strcmp(how, "read")) {
        fd = open(a, O_RDONLY);
        show("read", read(fd, &byte, 1));
    } else if (!strcmp(how, "write")) {
        fd = open(a, O_WRONLY);
        show("write", write(fd, &byte, 1));
    } else if (!strcmp(how, "create")) {
        fd = open(a, O_WRONLY | O_CREAT | O_EXCL, 0644);
        show("create", write(fd, &byte, 1));
        close(fd);
        show("read", open(a, O_RDONLY));
    } else if (!strcmp(how, "open-trunc")) {
        show("open-trunc", open(a, O_WRONLY | O_TRUNC));
    } else if (!strcmp(how, "truncate")) {
        show("truncate", truncate(a, 1));
    } else if (!strcmp(how, "utime")) {
        struct timespec times[2] = {{0, UTIME_OMIT}, {1, 0}};
        show("utime", utimensat(AT_FDCWD, a, times, 0));
    } else if (!strcmp(how, "chmod")) {
        show("chmod", chmod(a, 0700));
    } else if (!strcmp(how, "look")) {
        show("stat", stat(a, &stat_buffer));
        show("access", access(a, R_OK));
        show("missing", open(b, O_RDONLY));
        fd = open(a, O_PATH);
        show("fstat", fstat(fd, &stat_buffer));
    } else if (!strcmp(how, "path-read")) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", open(a, O_PATH));
        show("path-read", open(path, O_RDONLY));
    } else if (!strcmp(how, "exec")) {
        char *args[] = {(char *)a, "list", "/dev/shm", NULL};
        show("exec", execv(a, args));
    } else if (!strcmp(how, "path-exec")) {
        char *args[] = {(char *)a, "list", "/dev/shm", NULL}, *env[] = {NULL};
        show("path-exec", syscall(SYS_execveat, open(a, O_PATH), "", args, env, AT_EMPTY_PATH));
    } else if (!strcmp(how, "map")) {
        fd = open(a, O_RDONLY);
        show("map", mmap(NULL, 1, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED ? -1 : 0);
    } else if (!strcmp(how, "map-write")) {
        fd = open(a, O_RDWR);
        char *memory = mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        close(fd);
        *memory = byte;
        show("map-write", munmap(memory, 1));
    } else if (!strcmp(how, "child-read")) {
        if (fork() == 0) {
            chdir(a);
            show("child-read", open(b, O_RDONLY));
            fflush(stdout);
            _exit(0);
        }
        wait(NULL);
    } else if (!strcmp(how, "handle")) {
        union {
            struct file_handle handle;
            char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
        } handle = {{.handle_bytes = MAX_HANDLE_SZ}};
        int mount;
        name_to_handle_at(AT_FDCWD, a, &handle.handle, &mount, 0);
        show("handle", open_by_handle_at(open("/", O_RDONLY), &handle.handle, O_RDONLY));
    } else if (!strcmp(how, "list")) {
        show("list", scandir(a, &(struct dirent **){NULL}, NULL, NULL));
    } else if (!strcmp(how, "rename")) {
        show("rename", rename(a, b));
    } else if (!strcmp(how, "unlink")) {
        show("unlink", unlink(a));
    } else if (!strcmp(how, "rmdir")) {
        show("rmdir", rmdir(a));
    } else if (!strcmp(how, "mkdir")) {
        show("mkdir", mkdir(a, 0755));
    } else if (!strcmp(how, "link")) {
        show("link", link(a, b));
    } else if (!strcmp(how, "symlink")) {
        show("symlink", symlink(a, b));
    } else if (!strcmp(how, "remake")) {
        unlink(a);
        show("remake", open(a, O_WRONLY | O_CREAT | O_EXCL, 0644));
    } else if (!strcmp(how, "replace")) {
        fd = open(a, O_WRONLY | O_CREAT | O_EXCL, 0644);
        show("replace", rename(a, b));
    } else if (!strcmp(how, "down")) {
        for (int i = atoi(b); i > 0; i--)
            chdir("down");
        show("down", open(a, O_RDONLY));
        list(".");
    } else if (!strcmp(how, "flood")) {
        for (int i = 0; i < 20000; i++) {
            close(open(a, O_RDONLY));
            close(open(b, O_RDONLY));
        }
        show("flood", 0);
    }
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    if (!strcmp(what, "calls"))
        calls();
#ifdef __x86_64__
    else if (!strcmp(what, "foreign-calls"))
        foreign_calls();
#endif
    else if (!strcmp(what, "loopback"))
        loopback();
    else if (!strcmp(what, "elsewhere"))
        elsewhere();
    else if (!strcmp(what, "list"))
        list(argv[2]);
    else if (!strcmp(what, "file"))
        file_call(argv[2], argv[3], argc > 4 ? argv[4] : "");
    else
        return 2;
    return 0;
}
