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
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
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
    else
        return 2;
    return 0;
}
