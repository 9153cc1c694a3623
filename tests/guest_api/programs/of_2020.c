/*
 * A guest as it was written in 2020: the declarations have the names, types and order of parameters that the C header of
 * the first my-own-cluster had, and every check holds what its host answered.
 *
 * MODULE is the import module name. `everything` gives 0, or the line of the first check that fails.
 */

#include <stdint.h>

#define WASM_IMPORT(NAME) __attribute__((import_module(MODULE))) __attribute__((import_name(NAME)))

WASM_IMPORT("test") uint32_t test();
WASM_IMPORT("get_input_buffer_id") uint32_t get_input_buffer_id();
WASM_IMPORT("get_output_buffer_id") uint32_t get_output_buffer_id();
WASM_IMPORT("create_exchange_buffer") uint32_t create_exchange_buffer();
WASM_IMPORT("write_exchange_buffer") uint32_t write_exchange_buffer(int buffer_id, const void *content, int length);
WASM_IMPORT("write_exchange_buffer_header")
uint32_t write_exchange_buffer_header(int buffer_id, const char *name, int name_length, const char *value,
                                      int value_length);
WASM_IMPORT("write_exchange_buffer_status_code")
uint32_t write_exchange_buffer_status_code(int buffer_id, int status_code);
WASM_IMPORT("read_exchange_buffer") uint32_t read_exchange_buffer(int buffer_id, void *result, int result_length);
WASM_IMPORT("read_exchange_buffer_headers") uint32_t read_exchange_buffer_headers(int buffer_id);
WASM_IMPORT("base64_decode") uint32_t base64_decode(const char *encoded, int encoded_length);
WASM_IMPORT("base64_encode") uint32_t base64_encode(const void *input, int input_length);
WASM_IMPORT("register_blob_with_name")
uint32_t register_blob_with_name(const char *name, int name_length, const char *content_type, int content_type_length,
                                 const void *content, int content_length);
WASM_IMPORT("register_blob")
uint32_t register_blob(const char *content_type, int content_type_length, const void *content, int content_length);
WASM_IMPORT("get_blob_tech_id_from_name") uint32_t get_blob_tech_id_from_name(const char *name, int name_length);
WASM_IMPORT("get_blob_bytes_as_string") uint32_t get_blob_bytes_as_string(const char *name, int name_length);
WASM_IMPORT("get_status") uint32_t get_status();
WASM_IMPORT("persistence_set")
uint32_t persistence_set(const void *key, int key_length, const void *value, int value_length);
WASM_IMPORT("get_url") uint32_t get_url(const char *url, int url_length);
WASM_IMPORT("persistence_get") uint32_t persistence_get(const void *key, int key_length);
WASM_IMPORT("persistence_get_subset") uint32_t persistence_get_subset(const char *prefix, int prefix_length);
WASM_IMPORT("print_debug") uint32_t print_debug(const char *text, int text_length);
WASM_IMPORT("get_time") uint32_t get_time(const void *dest, int dest_length);
WASM_IMPORT("free_buffer") uint32_t free_buffer(int buffer_id);
WASM_IMPORT("call_function")
uint32_t call_function(const char *name, int name_length, const char *start_function, int start_function_length,
                       const void *arguments_int_array, int arguments_length, const char *mode, int mode_length,
                       int input_exchange_buffer_id, int output_exchange_buffer_id, const char *posix_file_name,
                       int posix_file_name_length, const void *posix_arguments_string_array,
                       int posix_arguments_length);
WASM_IMPORT("export_database") uint32_t export_database();
WASM_IMPORT("is_trace") uint32_t is_trace();

#define TEXT(literal) literal, sizeof(literal) - 1
#define CHECK(condition) \
    if (!(condition)) return __LINE__

static char room[1 << 16];

static int same(const char *expected, int length) {
    for (int i = 0; i < length; i++)
        if (room[i] != expected[i]) return 0;
    return 1;
}

static int holds(int size, const char *expected, int length) {
    for (int start = 0; start + length <= size; start++) {
        int i = 0;
        while (i < length && room[start + i] == expected[i]) i++;
        if (i == length) return 1;
    }
    return 0;
}

/* As everybody read a buffer then: first its size, then its bytes, then it is let go. */
static int taken(int buffer_id) {
    int size = read_exchange_buffer(buffer_id, 0, 0);
    if (size < 0 || size > (int)sizeof room) return -1;
    if ((int)read_exchange_buffer(buffer_id, room, size) != size) return -1;
    return free_buffer(buffer_id) == 0 ? size : -1;
}

int everything(void) {
    /* The smallest module: eight bytes. */
    static const unsigned char module[] = {0, 'a', 's', 'm', 1, 0, 0, 0};
    int64_t time = 0;
    char id[64];
    int size;

    CHECK(test() == 0);
    CHECK(is_trace() == 0);
    CHECK(print_debug(TEXT("hello from 2020")) == 0);
    CHECK(get_time(&time, sizeof time) == 0 && time > 1577836800000000000);

    /* The input passes to the output, by way of a buffer of the guest's own. */
    size = read_exchange_buffer(get_input_buffer_id(), 0, 0);
    CHECK(size == 5);
    CHECK(read_exchange_buffer(get_input_buffer_id(), room, size) == 5 && same("input", 5));
    int own = create_exchange_buffer();
    CHECK(own > 0 && own != (int)get_input_buffer_id() && own != (int)get_output_buffer_id());
    CHECK(write_exchange_buffer(own, room, 5) == 5);
    CHECK(read_exchange_buffer(own, 0, 0) == 5);
    CHECK(write_exchange_buffer_header(own, TEXT("X-Year"), TEXT("2020")) == 0);
    CHECK((size = taken(read_exchange_buffer_headers(own))) > 0 && holds(size, TEXT("2020")));
    CHECK(taken(own) == 5 && same("input", 5));
    CHECK(write_exchange_buffer_status_code(get_output_buffer_id(), 200) == 0);
    CHECK(write_exchange_buffer(get_output_buffer_id(), TEXT("output")) == 6);

    CHECK(taken(base64_encode(TEXT("my own cluster"))) == 20 && same(TEXT("bXkgb3duIGNsdXN0ZXI=")));
    CHECK(taken(base64_decode(TEXT("bXkgb3duIGNsdXN0ZXI="))) == 14 && same(TEXT("my own cluster")));

    CHECK(persistence_set(TEXT("/year/2020"), TEXT("a value")) == 0);
    CHECK(taken(persistence_get(TEXT("/year/2020"))) == 7 && same(TEXT("a value")));
    CHECK((size = taken(persistence_get_subset(TEXT("/year/")))) > 0);
    CHECK(holds(size, TEXT("/year/2020")) && holds(size, TEXT("a value")));

    CHECK(taken(register_blob_with_name(TEXT("made-in-2020"), TEXT("application/wasm"), module, 8)) == 64);
    for (int i = 0; i < 64; i++) id[i] = room[i];
    CHECK(taken(get_blob_tech_id_from_name(TEXT("made-in-2020"))) == 64 && same(id, 64));
    CHECK(taken(get_blob_bytes_as_string(id, 64)) == 8 && same((const char *)module, 8));
    CHECK(taken(register_blob(TEXT("application/wasm"), module, 8)) == 64 && same(id, 64));

    CHECK((size = taken(get_status())) > 0 && holds(size, TEXT("\"blob_names\"")) && holds(size, TEXT("made-in-2020")));
    CHECK((size = taken(export_database())) > 0 && holds(size, id, 64));

    int in = create_exchange_buffer();
    int out = create_exchange_buffer();
    CHECK(write_exchange_buffer(in, TEXT("shout")) == 5);
    CHECK(call_function(TEXT("uppercase"), TEXT("_start"), 0, 0, TEXT("posix"), in, out, TEXT("uppercase"), 0, 0) == 0);
    CHECK(taken(out) == 5 && same(TEXT("SHOUT")));

    size = read_exchange_buffer(get_input_buffer_id(), room, sizeof room);
    CHECK(size == 0);
    return 0;
}

/* Fetches the URL that is the input. */
int fetch(void) {
    int size = read_exchange_buffer(get_input_buffer_id(), room, sizeof room);
    size = taken(get_url(room, size));
    if (size > 0) write_exchange_buffer(get_output_buffer_id(), room, size);
    return size;
}
