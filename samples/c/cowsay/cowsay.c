/*
 * A cow that says what it is told, in its arguments or on standard input. Under a name that ends in "think" it thinks.
 *
 *   cowsay [-bdgpstwyn] [-e EYES] [-T TONGUE] [-W COLUMN] [MESSAGE...]
 *
 * Text is UTF-8; every code point counts as one column.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TAB_STOP 8

static const char usage[] =
    "usage: cowsay [-bdgpstwyn] [-e EYES] [-T TONGUE] [-W COLUMN] [MESSAGE...]\n"
    "  -b Borg  -d dead  -g greedy  -p paranoid  -s stoned  -t tired  -w wired  -y young\n"
    "  -e EYES    the two characters of the eyes      -T TONGUE  the two of the tongue\n"
    "  -W COLUMN  wrap the message before this column (40)\n"
    "  -n         leave the message's lines as they are\n"
    "Without MESSAGE, standard input is read.\n";

static const struct mood {
    char option;
    const char *eyes, *tongue;
} moods[] = {
    {'b', "==", NULL}, {'d', "xx", "U "}, {'g', "$$", NULL}, {'p', "@@", NULL},
    {'s', "**", "U "}, {'t', "--", NULL}, {'w', "OO", NULL}, {'y', "..", NULL},
};

/* -- text ---------------------------------------------------------------------------------------------------------- */

struct text {
    char *at;
    size_t size, room;
};

static void append(struct text *text, const char *bytes, size_t size) {
    if (text->size + size + 1 > text->room) {
        text->room = 2 * (text->size + size + 1);
        text->at = realloc(text->at, text->room);
        if (text->at == NULL) {
            fputs("cowsay: the message is too long for the memory\n", stderr);
            exit(1);
        }
    }
    memcpy(text->at + text->size, bytes, size);
    text->size += size;
    text->at[text->size] = '\0';
}

static int is_continuation(char byte) { return ((unsigned char)byte & 0xC0) == 0x80; }

static size_t columns_of(const char *text, size_t size) {
    size_t columns = 0;
    for (size_t i = 0; i < size; i++) columns += !is_continuation(text[i]);
    return columns;
}

/* How many bytes the first `columns` characters take. */
static size_t bytes_of(const char *text, size_t size, size_t columns) {
    size_t i = 0;
    while (i < size && columns > 0) {
        do i++;
        while (i < size && is_continuation(text[i]));
        columns--;
    }
    return i;
}

static int is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/* -- lines of the message ------------------------------------------------------------------------------------------ */

/* Append one word to `out`, on a line of its own when the present one has no room; a word wider than a line is cut. */
static void wrap_word(struct text *out, size_t *column, size_t width, const char *word, size_t size) {
    size_t columns = columns_of(word, size);
    if (*column > 0 && *column + 1 + columns > width) {
        append(out, "\n", 1);
        *column = 0;
    } else if (*column > 0) {
        append(out, " ", 1);
        *column += 1;
    }
    while (columns > width) {
        size_t part = bytes_of(word, size, width);
        append(out, word, part);
        append(out, "\n", 1);
        word += part;
        size -= part;
        columns -= width;
    }
    append(out, word, size);
    *column += columns;
}

/* Fill paragraphs: they end at an empty line, or where the next line is indented. */
static struct text wrap(const struct text *message, size_t width) {
    struct text out = {0};
    const char *at = message->at, *end = message->at + message->size;
    size_t column = 0;
    while (at < end) {
        const char *space = at;
        while (at < end && is_space(*at)) at++;
        const char *newline = memchr(space, '\n', at - space);
        if (at == end) break;
        if (out.size > 0 && newline != NULL && newline + 1 < at) {
            append(&out, "\n\n", 2);
            column = 0;
        }
        const char *word = at;
        while (at < end && !is_space(*at)) at++;
        wrap_word(&out, &column, width, word, at - word);
    }
    return out;
}

static struct text expand_tabs(const struct text *message) {
    struct text out = {0};
    size_t column = 0, size = message->size;
    if (size > 0 && message->at[size - 1] == '\n') size--;
    for (size_t i = 0; i < size; i++) {
        char c = message->at[i];
        if (c == '\t') {
            do append(&out, " ", 1);
            while (++column % TAB_STOP);
            continue;
        }
        append(&out, &c, 1);
        column = c == '\n' ? 0 : column + !is_continuation(c);
    }
    return out;
}

/* -- drawing ------------------------------------------------------------------------------------------------------- */

static void draw_edge(char edge, size_t width) {
    putchar(' ');
    for (size_t i = 0; i < width + 2; i++) putchar(edge);
    puts(" ");
}

static void draw_balloon(const struct text *text, int thinks) {
    const char *start = text->size ? text->at : "", *end = start + text->size;
    size_t width = 0, lines = 1;
    for (const char *line = start, *next;; line = next + 1, lines++) {
        next = memchr(line, '\n', end - line);
        size_t columns = columns_of(line, (next ? next : end) - line);
        if (columns > width) width = columns;
        if (next == NULL) break;
    }
    draw_edge('_', width);
    const char *line = start;
    for (size_t i = 0; i < lines; i++) {
        const char *next = memchr(line, '\n', end - line);
        size_t size = (next ? next : end) - line;
        const char *sides = thinks           ? "()"
                            : lines == 1     ? "<>"
                            : i == 0         ? "/\\"
                            : i == lines - 1 ? "\\/"
                                             : "||";
        printf("%c ", sides[0]);
        fwrite(line, 1, size, stdout);
        for (size_t column = columns_of(line, size); column < width; column++) putchar(' ');
        printf(" %c\n", sides[1]);
        line += size + 1;
    }
    draw_edge('-', width);
}

static void draw_cow(const char *eyes, const char *tongue, char thoughts) {
    int eyes_size = bytes_of(eyes, strlen(eyes), 2), tongue_size = bytes_of(tongue, strlen(tongue), 2);
    printf("        %c   ^__^\n", thoughts);
    printf("         %c  (%.*s)\\_______\n", thoughts, eyes_size, eyes);
    printf("            (__)\\       )\\/\\\n");
    printf("             %.*s ||----w |\n", tongue_size, tongue);
    printf("                ||     ||\n");
}

/* ------------------------------------------------------------------------------------------------------------------ */

static _Noreturn void refuse(const char *why, const char *what) {
    fprintf(stderr, "cowsay: %s%s\n%s", why, what, usage);
    exit(2);
}

int main(int argc, char **argv) {
    const char *eyes = "oo", *tongue = "  ";
    const struct mood *mood = NULL;
    size_t width = 39;
    int as_it_is = 0, option;
    char *rest;

    while ((option = getopt(argc, argv, "bdgpstwyne:T:W:h")) != -1) {
        for (size_t i = 0; i < sizeof moods / sizeof *moods; i++)
            if (moods[i].option == option) mood = &moods[i];
        switch (option) {
        case 'n': as_it_is = 1; break;
        case 'e': eyes = optarg; break;
        case 'T': tongue = optarg; break;
        case 'W': {
            long column = strtol(optarg, &rest, 10);
            if (*rest != '\0' || column < 2 || column > 1 << 20) refuse("-W takes a column of at least 2, not ", optarg);
            width = column - 1;
            break;
        }
        case 'h': fputs(usage, stdout); return 0;
        case '?': fputs(usage, stderr); return 2;
        }
    }
    if (mood != NULL) {
        eyes = mood->eyes;
        if (mood->tongue != NULL) tongue = mood->tongue;
    }

    struct text message = {0};
    for (int i = optind; i < argc; i++) {
        if (i > optind) append(&message, " ", 1);
        append(&message, argv[i], strlen(argv[i]));
    }
    if (optind == argc) {
        static char part[64 << 10];
        size_t size;
        while ((size = fread(part, 1, sizeof part, stdin)) > 0) append(&message, part, size);
    }

    size_t name_size = argc > 0 ? strlen(argv[0]) : 0;
    int thinks = name_size >= 5 && strcmp(argv[0] + name_size - 5, "think") == 0;
    struct text lines = as_it_is ? expand_tabs(&message) : wrap(&message, width);
    draw_balloon(&lines, thinks);
    draw_cow(eyes, tongue, thinks ? 'o' : '\\');
    return ferror(stdin) || fflush(stdout) || ferror(stdout);
}
