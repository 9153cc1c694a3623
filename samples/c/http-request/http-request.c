/*
 * Open the URL in the argument like a file, and copy the answer to the output.
 *
 * Its function must have been allowed the host: moc push --allow-host example.com http-request http-request.wasm
 */

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static char buffer[64 << 10];

int main(int argc, char **argv) {
    if (argc != 2) {
        fputs("usage: http-request URL\n", stderr);
        return 2;
    }
    int answer = open(argv[1], O_RDONLY);
    int output = open("api://output", O_WRONLY);
    if (answer < 0 || output < 0) {
        perror(argv[1]);
        return 1;
    }
    ssize_t size;
    while ((size = read(answer, buffer, sizeof buffer)) > 0) {
        for (ssize_t done = 0, written; done < size; done += written) {
            written = write(output, buffer + done, size - done);
            if (written < 0) {
                perror("api://output");
                return 1;
            }
        }
    }
    if (size < 0) perror(argv[1]);
    return size < 0;
}
