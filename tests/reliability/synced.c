/* Keeps, of each file of a database that is synchronised, what is on the disk for certain.
 *
 * To be loaded into a process before its libraries (LD_PRELOAD). The folder that SYNCED names gets a
 * copy of each file as it was just before it was last synchronised; not of journals, which are there
 * for a moment only.
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int copy(int from, const char *to)
{
    char part[65536];
    off_t at = 0;
    ssize_t size;
    int file = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (file < 0)
        return -1;
    while ((size = pread(from, part, sizeof part, at)) > 0) {
        if (write(file, part, size) != size)
            size = -1;
        if (size < 0)
            break;
        at += size;
    }
    close(file);
    return size < 0 ? -1 : 0;
}

static int synchronise(int file, const char *name)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    char link[64], path[4096], now[8192], kept[8192];
    const char *folder = getenv("SYNCED");
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    path[length > 0 ? length : 0] = 0;
    if (!folder || !strstr(path, "abaco.db") || strstr(path, "-journal"))
        return real(file);
    snprintf(kept, sizeof kept, "%s/%s", folder, strrchr(path, '/') + 1);
    snprintf(now, sizeof now, "%s.%ld", kept, syscall(SYS_gettid));
    if (copy(file, now) < 0)
        return -1;
    int result = real(file);
    if (result == 0)
        rename(now, kept);
    return result;
}

int fsync(int file) { return synchronise(file, "fsync"); }

int fdatasync(int file) { return synchronise(file, "fdatasync"); }
