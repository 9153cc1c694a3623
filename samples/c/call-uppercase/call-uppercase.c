/*
 * Have another function do the work, with nothing but open, write and read: what is written to call://uppercase is its
 * input, the first read runs it, and reads give its output.
 *
 * Its function must have been allowed the call: moc push --grant call:uppercase call-uppercase call-uppercase.wasm
 */

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static char buffer[64 << 10];

static int copy(int from, int to) {
    ssize_t size;
    while ((size = read(from, buffer, sizeof buffer)) > 0) {
        for (ssize_t done = 0, written; done < size; done += written) {
            written = write(to, buffer + done, size - done);
            if (written < 0) return -1;
        }
    }
    return (int)size;
}

int main(void) {
    int function = open("call://uppercase", O_RDWR);
    if (function < 0 || copy(STDIN_FILENO, function) < 0 || copy(function, STDOUT_FILENO) < 0) {
        perror("call://uppercase");
        return 1;
    }
    return 0;
}
