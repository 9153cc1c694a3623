/*
 * What a function does with its buffers; each export shows one thing. Without a C library: build it with -ffreestanding,
 * and call its functions directly. They give 0, or an error number, negated. Only the last one needs a permission.
 *
 *   describe()  the headers of each input, as JSON, a line each
 *   page()      the input as an HTML page: a header and a status code on the output
 *   encode()    the input in Base64
 *   decode()    the bytes behind an input in Base64
 *   twice()     the input two times, put together in a buffer of the function's own
 *   stamp()     the time of day: seconds since 1970
 *   get()       what is at the URL that the input names (allowed host: example.com)
 */

#include <moc/core.h>

#define TEXT(literal) literal, sizeof(literal) - 1

/* The whole input in memory. Its size goes to `size`, or an error. */
static char *input(int32_t *size) {
    *size = read_exchange_buffer(get_input_buffer_id(), NULL, 0);
    if (*size < 0) return NULL;
    char *bytes = moc_allocate((size_t)*size + 1);
    *size = bytes ? read_exchange_buffer(get_input_buffer_id(), bytes, *size) : -48; /* ENOMEM */
    return bytes;
}

static int32_t write(const char *bytes, int32_t length) {
    int32_t written = write_exchange_buffer(get_output_buffer_id(), bytes, length);
    return written < 0 ? written : 0;
}

/* Copy a buffer to the output and let go of it; an error is passed on. */
static int32_t give(int32_t buffer) {
    static char piece[4096];
    int32_t length;
    if (buffer < 0) return buffer;
    while ((length = read_exchange_buffer(buffer, piece, sizeof piece)) > 0) write(piece, length);
    return free_buffer(buffer);
}

int32_t describe(void) {
    int32_t count = get_input_buffer_count(), error = 0;
    for (int32_t index = 0; index < count && !error; index++) {
        error = give(read_exchange_buffer_headers(get_input_buffer_id_at(index)));
        if (!error) error = write(TEXT("\n"));
    }
    return error;
}

int32_t page(void) {
    int32_t size, output = get_output_buffer_id();
    char *text = input(&size);
    if (size < 0) return size;
    write_exchange_buffer_status_code(output, 201);
    write_exchange_buffer_header(output, TEXT("content-type"), TEXT("text/html; charset=utf-8"));
    write(TEXT("<!doctype html><pre>"));
    for (int32_t i = 0; i < size; i++) {
        if (text[i] == '<')
            write(TEXT("&lt;"));
        else if (text[i] == '&')
            write(TEXT("&amp;"));
        else
            write(&text[i], 1);
    }
    return write(TEXT("</pre>\n"));
}

int32_t encode(void) {
    int32_t size;
    char *bytes = input(&size);
    return size < 0 ? size : give(base64_encode(bytes, size));
}

int32_t decode(void) {
    int32_t size;
    char *text = input(&size);
    return size < 0 ? size : give(base64_decode(text, size));
}

int32_t twice(void) {
    int32_t size, own = create_exchange_buffer();
    char *bytes = input(&size);
    if (size < 0) return size;
    if (own < 0) return own;
    write_exchange_buffer(own, bytes, size);
    write_exchange_buffer(own, bytes, size);
    return give(own);
}

int32_t stamp(void) {
    char digits[20];
    int32_t at = sizeof digits;
    int64_t now;
    int32_t error = get_time(&now, sizeof now);
    if (error) return error;
    if (is_trace()) print_debug(TEXT("the time was asked for"));
    for (now /= 1000000000; now; now /= 10) digits[--at] = (char)('0' + now % 10);
    return write(digits + at, (int32_t)sizeof digits - at);
}

int32_t get(void) {
    int32_t size;
    char *url = input(&size);
    return size < 0 ? size : give(get_url(url, size));
}
