/*
 * The mapper of a word count, in the convention of Hadoop Streaming: text in, a line `word<TAB>1` out for every word.
 *
 * A word is what the regular expression [A-Za-z0-9]+ matches: a longest run of ASCII letters and digits, of any length.
 * It is counted in lower case.
 */

#include <stdint.h>
#include <string.h>
#include <unistd.h>

#define INPUT_BYTES (64 << 10)

static uint8_t input[INPUT_BYTES];

/* One byte of input gives two bytes of output at most, when words of one letter alternate with spaces: "a " becomes
   "a\t1\n". The end of a word whose letters left with the part before comes on top, and what the last store of four
   bytes writes too much. */
static uint8_t output[2 * INPUT_BYTES + 3 + 4];

/* What a byte of input writes: a letter of a word, or what ends the word before it. */
static uint32_t writes[256];
static uint8_t is_letter[256];

static int write_all(const uint8_t *bytes, size_t size) {
    while (size > 0) {
        ssize_t written = write(STDOUT_FILENO, bytes, size);
        if (written < 0) return -1;
        bytes += written;
        size -= written;
    }
    return 0;
}

int main(void) {
    for (int c = 0; c < 256; c++) {
        int lower = c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c;
        is_letter[c] = (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9');
        memcpy(&writes[c], is_letter[c] ? (char[4]){lower} : "\t1\n", 4);
    }

    unsigned in_word = 0;
    ssize_t size;
    while ((size = read(STDIN_FILENO, input, sizeof input)) > 0) {
        uint8_t *out = output;
        /* Without branches, which a processor cannot foresee at the ends of words: four bytes are always written, and
           1 of them is kept for a letter, 3 for the first byte behind a word, none for the others. */
        for (const uint8_t *in = input, *end = input + size; in < end; in++) {
            unsigned letter = is_letter[*in];
            memcpy(out, &writes[*in], 4);
            out += letter + 3 * (in_word & ~letter);
            in_word = letter;
        }
        if (write_all(output, out - output)) return 1;
    }
    if (size < 0) return 1;
    return in_word && write_all((const uint8_t *)"\t1\n", 3) ? 1 : 0;
}
