/*
 * The guest API without a C library: build it with -ffreestanding, and call its functions directly.
 *
 *   add(a, b)   gives a number back
 *   hello()     writes a greeting to the output buffer, and a line to the log
 */

#include <moc/core.h>

int add(int a, int b) { return a + b; }

int hello(void) {
    static const char greeting[] = "Hello from WebAssembly, without a C library\n";
    static const char note[] = "api-demo said hello";
    int written = write_exchange_buffer(get_output_buffer_id(), greeting, sizeof greeting - 1);
    if (written < 0) return written;
    print_debug(note, sizeof note - 1);
    return 0;
}
