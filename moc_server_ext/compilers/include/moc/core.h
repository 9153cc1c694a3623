/*
 * The guest API of moc, import module `core`: what a guest may ask of its host.
 *
 * Numbers are 32 bits; bytes and texts are a pointer and a length. A negative number is an error, -errno (errno.h of
 * wasi-libc has the same numbers). Functions that give bytes back return the id of a new exchange buffer that holds
 * them: read it with read_exchange_buffer, then hand it to free_buffer. Ids are known within one call only.
 *
 * It needs no C library.
 */

#ifndef MOC_CORE_H
#define MOC_CORE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MOC_CORE(name) __attribute__((import_module("core"), import_name(name)))

/* -- exchange buffers ---------------------------------------------------------------------------------------------- */

MOC_CORE("get_input_buffer_id") int32_t get_input_buffer_id(void);
MOC_CORE("get_output_buffer_id") int32_t get_output_buffer_id(void);

/* How many inputs the call has, at least 1, and the id of the one at `index`, from 0 on; -EINVAL beyond the last. The
   first is that of get_input_buffer_id. */
MOC_CORE("get_input_buffer_count") int32_t get_input_buffer_count(void);
MOC_CORE("get_input_buffer_id_at") int32_t get_input_buffer_id_at(int32_t index);

/* Make an empty buffer; its id. */
MOC_CORE("create_exchange_buffer") int32_t create_exchange_buffer(void);
MOC_CORE("free_buffer") int32_t free_buffer(int32_t id);

/* Append bytes, headers, the status code. */
MOC_CORE("write_exchange_buffer") int32_t write_exchange_buffer(int32_t id, const void *bytes, int32_t length);
MOC_CORE("write_exchange_buffer_header")
int32_t write_exchange_buffer_header(int32_t id, const char *name, int32_t name_length, const char *value,
                                     int32_t value_length);
MOC_CORE("write_exchange_buffer_status_code") int32_t write_exchange_buffer_status_code(int32_t id, int32_t status_code);

/* Copy unread bytes to `bytes`, which has room for `capacity`: the number of bytes copied, 0 at the end. With `bytes`
   NULL nothing is copied, and the number is how many are unread: of an input that is still coming, once all of it is
   there. */
MOC_CORE("read_exchange_buffer") int32_t read_exchange_buffer(int32_t id, void *bytes, int32_t capacity);

/* The headers as a JSON object, in a new buffer. */
MOC_CORE("read_exchange_buffer_headers") int32_t read_exchange_buffer_headers(int32_t id);

/* -- log and clock ------------------------------------------------------------------------------------------------- */

enum moc_level { MOC_TRACE, MOC_DEBUG, MOC_INFO, MOC_WARN, MOC_ERROR, MOC_CRITICAL };

/* Write text to the call's log, which is its stderr, with its level in front of each line. The host calls it `log`, which
   is a function of <math.h> in C. */
MOC_CORE("log") int32_t moc_log(int32_t level, const char *text, int32_t length);
/* Write one line to the call's log as it is. */
MOC_CORE("print_debug") int32_t print_debug(const char *text, int32_t length);
/* 1 while the call is traced, else 0. */
MOC_CORE("is_trace") int32_t is_trace(void);
/* Nanoseconds since 1970, UTC; `length` is the size of what `nanoseconds` points to, 8. */
MOC_CORE("get_time") int32_t get_time(int64_t *nanoseconds, int32_t length);

/* -- base64: the result in a new buffer ---------------------------------------------------------------------------- */

MOC_CORE("base64_encode") int32_t base64_encode(const void *bytes, int32_t length);
MOC_CORE("base64_decode") int32_t base64_decode(const char *text, int32_t length);

/* -- key-values: need the grant kv:PREFIX -------------------------------------------------------------------------- */

MOC_CORE("persistence_set")
int32_t persistence_set(const void *key, int32_t key_length, const void *value, int32_t value_length);
/* The value, in a new buffer. */
MOC_CORE("persistence_get") int32_t persistence_get(const void *key, int32_t key_length);
/* All keys that begin with `prefix` and their values, as a JSON object, in a new buffer. */
MOC_CORE("persistence_get_subset") int32_t persistence_get_subset(const void *prefix, int32_t prefix_length);
/* Up to `limit` (10,000 at most) keys that begin with `prefix` and come after `after` (of length 0: from the first), in a
   new buffer, as JSON: {"keys": [{"key", "base64"}, ...]}. */
MOC_CORE("persistence_list")
int32_t persistence_list(const void *prefix, int32_t prefix_length, const void *after, int32_t after_length,
                         int32_t limit);
MOC_CORE("persistence_delete") int32_t persistence_delete(const void *key, int32_t key_length);
/* Store `value` if the key has the value `expected`; else -EAGAIN. An `expected_length` of -1 expects that the key is not
   there, a `value_length` of -1 removes it. */
MOC_CORE("persistence_compare_and_set")
int32_t persistence_compare_and_set(const void *key, int32_t key_length, const void *expected, int32_t expected_length,
                                    const void *value, int32_t value_length);
/* Add `*number` to the decimal number under a key (0 if there is none); `*number` is the sum then. `length` is 8. */
MOC_CORE("persistence_increment")
int32_t persistence_increment(const void *key, int32_t key_length, int64_t *number, int32_t length);
/* Make the changes of a JSON list in one transaction, such as [{"change": "set", "key": "a", "value": "1"}]: the sums of
   its increments, in a new buffer, as JSON: {"results": [null, ...]}. */
MOC_CORE("persistence_apply") int32_t persistence_apply(const char *changes, int32_t changes_length);

/* -- blobs and functions ------------------------------------------------------------------------------------------- */

/* Register a module ("application/wasm") under a name, as `moc push` does, without grants: its blob id, 64 hex digits, in
   a new buffer. Needs the grant register:NAME. */
MOC_CORE("register_blob_with_name")
int32_t register_blob_with_name(const char *name, int32_t name_length, const char *content_type,
                                int32_t content_type_length, const void *content, int32_t content_length);
/* Store bytes without a name: the blob id, in a new buffer. Needs the grant register. */
MOC_CORE("register_blob")
int32_t register_blob(const char *content_type, int32_t content_type_length, const void *content,
                      int32_t content_length);
/* The blob id that a function's name points to, in a new buffer. Needs the grant blob:NAME. */
MOC_CORE("get_blob_tech_id_from_name") int32_t get_blob_tech_id_from_name(const char *name, int32_t name_length);
/* The bytes of a blob, by its id or a function's name, in a new buffer. Needs the grant blob:NAME. */
MOC_CORE("get_blob_bytes_as_string") int32_t get_blob_bytes_as_string(const char *name, int32_t name_length);

/* -- the platform as a whole --------------------------------------------------------------------------------------- */

/* What runs, as a JSON object, in a new buffer. Needs the grant status. */
MOC_CORE("get_status") int32_t get_status(void);
/* All that is stored, as a JSON object of keys and values in Base64, in a new buffer. Needs the grant export. */
MOC_CORE("export_database") int32_t export_database(void);

/* -- calls: need the grant call:NAME ------------------------------------------------------------------------------- */

struct moc_string {
    const char *text;
    int32_t length;
};

/* Call a function in an instance of its own and wait for its end. `mode` is "direct" (an export, with `arguments`) or
   "posix" (a program, with `posix_arguments`); an empty mode or start function is chosen by what the module exports.
   What is unread of buffer `input_id` is its input, and its output is added to buffer `output_id`; 0 stands for none.
   The result of a direct call or the exit code of a posix one. `posix_file_name` is argv[0]; empty is the
   function's name. */
MOC_CORE("call_function")
int32_t call_function(const char *name, int32_t name_length, const char *start_function, int32_t start_function_length,
                      const int32_t *arguments, int32_t arguments_count, const char *mode, int32_t mode_length,
                      int32_t input_id, int32_t output_id, const char *posix_file_name, int32_t posix_file_name_length,
                      const struct moc_string *posix_arguments, int32_t posix_arguments_count);

/* -- outbound requests: need an allowed host ----------------------------------------------------------------------- */

/* Send a GET request and wait for the whole answer: its body, in a new buffer, whose headers are the answer's, with the
   status code among them as x-moc-status-code. */
MOC_CORE("get_url") int32_t get_url(const char *url, int32_t url_length);

/* -- array functions, interface chunk/1 ----------------------------------------------------------------------------

     MOC_CHUNK(twice)
     int32_t twice(const struct moc_array *array, struct moc_array *result) {
         const float *from = moc_float32(array);
         float *to = (float *)moc_like(result, array);
         if (!from) return moc_fail("expected an array of float32");
         if (!to) return moc_fail("no memory for the result");
         for (uint32_t i = 0; i < moc_elements(array); i++) to[i] = 2 * from[i];
         return 0;
     }

   The function gets its input as an array in its own memory, any numbers (int32_t, int64_t, float, double), and a
   structure in which it tells what its result is. It may change the input, and give it back as the result. What `result`
   tells when 0 is returned is the call's output; another number is a failure, and there is no output. */

/* Stands before the definition of an array function: exports it, by its name. */
#define MOC_CHUNK(name) __attribute__((export_name("chunk/1:" #name)))

#define MOC_MAX_DIMENSIONS 32

/* Data types. The low byte is the size of an element. */
enum moc_dtype {
    MOC_BOOL = 0x101,
    MOC_INT8 = 0x201,
    MOC_INT16 = 0x202,
    MOC_INT32 = 0x204,
    MOC_INT64 = 0x208,
    MOC_UINT8 = 0x301,
    MOC_UINT16 = 0x302,
    MOC_UINT32 = 0x304,
    MOC_UINT64 = 0x308,
    MOC_FLOAT16 = 0x402,
    MOC_FLOAT32 = 0x404,
    MOC_FLOAT64 = 0x408,
    MOC_COMPLEX64 = 0x508,
    MOC_COMPLEX128 = 0x510
};

/* An array: elements in C order (the last index is the fastest), little-endian. Those of the input are aligned to 16
   bytes. An array without axes has one element. */
struct moc_array {
    void *bytes;
    uint32_t dtype; /* enum moc_dtype */
    uint32_t ndim;  /* 0 to MOC_MAX_DIMENSIONS */
    uint32_t shape[MOC_MAX_DIMENSIONS];
};

/* The bytes of one element. */
static inline uint32_t moc_item_size(uint32_t dtype) { return dtype & 0xff; }

/* The number of elements of an array that lies in memory. */
static inline uint32_t moc_elements(const struct moc_array *array) {
    uint32_t elements = 1;
    for (uint32_t axis = 0; axis < array->ndim; axis++) elements *= array->shape[axis];
    return elements;
}

/* The elements of an array, or NULL when they are of another type. */
static inline int8_t *moc_int8(const struct moc_array *array) {
    return array->dtype == MOC_INT8 ? (int8_t *)array->bytes : NULL;
}
static inline int16_t *moc_int16(const struct moc_array *array) {
    return array->dtype == MOC_INT16 ? (int16_t *)array->bytes : NULL;
}
static inline int32_t *moc_int32(const struct moc_array *array) {
    return array->dtype == MOC_INT32 ? (int32_t *)array->bytes : NULL;
}
static inline int64_t *moc_int64(const struct moc_array *array) {
    return array->dtype == MOC_INT64 ? (int64_t *)array->bytes : NULL;
}
static inline uint8_t *moc_uint8(const struct moc_array *array) {
    return array->dtype == MOC_UINT8 ? (uint8_t *)array->bytes : NULL;
}
static inline uint16_t *moc_uint16(const struct moc_array *array) {
    return array->dtype == MOC_UINT16 ? (uint16_t *)array->bytes : NULL;
}
static inline uint32_t *moc_uint32(const struct moc_array *array) {
    return array->dtype == MOC_UINT32 ? (uint32_t *)array->bytes : NULL;
}
static inline uint64_t *moc_uint64(const struct moc_array *array) {
    return array->dtype == MOC_UINT64 ? (uint64_t *)array->bytes : NULL;
}
static inline float *moc_float32(const struct moc_array *array) {
    return array->dtype == MOC_FLOAT32 ? (float *)array->bytes : NULL;
}
static inline double *moc_float64(const struct moc_array *array) {
    return array->dtype == MOC_FLOAT64 ? (double *)array->bytes : NULL;
}

#ifdef __wasi__
/* The malloc of older versions of wasi-libc takes, at its first call, all memory there is; afterwards it takes what it
   asks for, as that of newer versions always does. Here it is called before the host adds the pages of an array. The
   references are weak, so that a module without malloc stays one. */
void *moc_libc_malloc(size_t size) __asm__("__libc_malloc") __attribute__((weak));
void moc_libc_free(void *memory) __asm__("__libc_free") __attribute__((weak));
__attribute__((constructor)) static void moc_ready_malloc(void) {
    if (moc_libc_malloc && moc_libc_free) moc_libc_free(moc_libc_malloc(1));
}
#endif

/* Memory, aligned to 16 bytes and zero, without a C library: for results and for whatever else a call needs. It is not
   given back: it lasts as long as the instance. NULL when there is no room. It gets along with malloc. */
static inline void *moc_allocate(size_t size) {
    static uintptr_t next, end;
    size_t rounded = size ? (size + 15) & ~(size_t)15 : 16;
    if (rounded < size) return NULL;
    if (rounded > end - next) {
        size_t pages = (rounded >> 16) + ((rounded & 0xffff) != 0);
        size_t before = __builtin_wasm_memory_grow(0, pages);
        if (before == (size_t)-1) return NULL;
        /* Somebody else may have grown the memory since. */
        if (before << 16 != end) next = before << 16;
        end = (before + pages) << 16;
    }
    void *memory = (void *)next;
    next += rounded;
    return memory;
}

/* Make the result an array of this type and shape, in new memory: its elements, or NULL when there is no room. */
static inline void *moc_make(struct moc_array *result, uint32_t dtype, uint32_t ndim, const uint32_t *shape) {
    uint64_t size = moc_item_size(dtype);
    uint32_t is_empty = 0;
    if (ndim > MOC_MAX_DIMENSIONS) return NULL;
    for (uint32_t axis = 0; axis < ndim; axis++) is_empty |= shape[axis] == 0;
    for (uint32_t axis = 0; axis < ndim && !is_empty; axis++) {
        size *= shape[axis];
        if (size > (size_t)-1) return NULL;
    }
    result->bytes = moc_allocate(is_empty ? 0 : (size_t)size);
    result->dtype = dtype;
    result->ndim = ndim;
    for (uint32_t axis = 0; axis < ndim; axis++) result->shape[axis] = shape[axis];
    return result->bytes;
}

/* Make the result an array of the same type and shape as another one, in new memory: its elements, or NULL. */
static inline void *moc_like(struct moc_array *result, const struct moc_array *array) {
    return moc_make(result, array->dtype, array->ndim, array->shape);
}

/* Say why an array function fails, and give the number that it then returns: `return moc_fail("expected 2 axes");`. */
static inline int32_t moc_fail(const char *reason) {
    int32_t length = 0;
    while (reason[length]) length++;
    print_debug(reason, length);
    return 1;
}

#undef MOC_CORE

#ifdef __cplusplus
}
#endif

#endif
