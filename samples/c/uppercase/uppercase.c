/* Standard input to standard output, with the ASCII letters in upper case; all other bytes stay as they are. */

#include <unistd.h>

static char buffer[64 << 10];

int main(void) {
    ssize_t size;
    while ((size = read(STDIN_FILENO, buffer, sizeof buffer)) > 0) {
        for (ssize_t i = 0; i < size; i++) {
            unsigned char letter = buffer[i];
            if (letter >= 'a' && letter <= 'z') buffer[i] = letter - 'a' + 'A';
        }
        for (ssize_t done = 0, written; done < size; done += written) {
            written = write(STDOUT_FILENO, buffer + done, size - done);
            if (written < 0) return 1;
        }
    }
    return size < 0;
}
