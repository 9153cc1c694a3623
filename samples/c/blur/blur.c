/*
 * An array function: a box blur along the last two axes, of float32 or float64, with whatever axes before them.
 *
 *   blur(array, radius)   each element becomes the mean of those at most `radius` rows and columns away, as far as they
 *                         lie inside; radius 0 gives the array back. What is NaN reaches no further than that
 */

#include <moc/core.h>

static uint32_t first_of(uint32_t at, uint32_t radius) { return at > radius ? at - radius : 0; }
static uint32_t end_of(uint32_t at, uint32_t radius, uint32_t length) {
    return length - at > radius ? at + radius + 1 : length;
}

/* One plane: along the columns into `between`, then along the rows; `sums` has room for one row. */
#define DEFINE_BLUR(type)                                                                                           \
    static void blur_##type(const type *from, type *between, type *to, double *sums, uint32_t rows,                 \
                            uint32_t columns, uint32_t radius) {                                                    \
        for (uint32_t row = 0; row < rows; row++) {                                                                 \
            uint32_t first = first_of(row, radius), end = end_of(row, radius, rows);                                \
            for (uint32_t column = 0; column < columns; column++) sums[column] = 0;                                 \
            for (uint32_t each = first; each < end; each++) {                                                       \
                for (uint32_t column = 0; column < columns; column++) sums[column] += from[each * columns + column]; \
            }                                                                                                       \
            for (uint32_t column = 0; column < columns; column++) {                                                 \
                between[row * columns + column] = (type)(sums[column] / (end - first));                             \
            }                                                                                                       \
        }                                                                                                           \
        for (uint32_t row = 0; row < rows; row++) {                                                                 \
            for (uint32_t column = 0; column < columns; column++) {                                                 \
                uint32_t first = first_of(column, radius), end = end_of(column, radius, columns);                   \
                double sum = 0;                                                                                     \
                for (uint32_t each = first; each < end; each++) sum += between[row * columns + each];               \
                to[row * columns + column] = (type)(sum / (end - first));                                           \
            }                                                                                                       \
        }                                                                                                           \
    }

DEFINE_BLUR(float)
DEFINE_BLUR(double)

MOC_CHUNK(blur)
int32_t blur(const struct moc_array *array, int32_t radius, struct moc_array *result) {
    if (array->ndim < 2) return moc_fail("blur: expected an array of at least 2 axes");
    if (radius < 0) return moc_fail("blur: expected a radius of 0 or more");
    const float *floats = moc_float32(array);
    const double *doubles = moc_float64(array);
    if (!floats && !doubles) return moc_fail("blur: expected an array of float32 or float64");

    uint32_t rows = array->shape[array->ndim - 2], columns = array->shape[array->ndim - 1], plane = rows * columns;
    uint32_t elements = moc_elements(array);
    void *between = moc_allocate(elements ? plane * moc_item_size(array->dtype) : 0);
    void *sums = moc_allocate(elements ? columns * sizeof(double) : 0);
    void *to = moc_like(result, array);
    if (!between || !sums || !to) return moc_fail("blur: no memory for the result; see the limit memory_bytes");
    for (uint32_t at = 0; at < elements; at += plane) {
        if (floats) blur_float(floats + at, between, (float *)to + at, sums, rows, columns, (uint32_t)radius);
        if (doubles) blur_double(doubles + at, between, (double *)to + at, sums, rows, columns, (uint32_t)radius);
    }
    return 0;
}
