/*
 * An array function that gives another shape back: the mean along one axis, of any type of numbers but complex ones.
 *
 *   mean(array, axis)   as float64, without that axis; -1 is the last one. Of nothing the mean is NaN
 */

#include <moc/core.h>

static int is_number(uint32_t dtype) {
    switch (dtype) {
        case MOC_INT8: case MOC_INT16: case MOC_INT32: case MOC_INT64:
        case MOC_UINT8: case MOC_UINT16: case MOC_UINT32: case MOC_UINT64:
        case MOC_FLOAT32: case MOC_FLOAT64:
            return 1;
    }
    return 0;
}

static double element(const struct moc_array *array, uint32_t at) {
    switch (array->dtype) {
        case MOC_INT8: return ((const int8_t *)array->bytes)[at];
        case MOC_INT16: return ((const int16_t *)array->bytes)[at];
        case MOC_INT32: return ((const int32_t *)array->bytes)[at];
        case MOC_INT64: return (double)((const int64_t *)array->bytes)[at];
        case MOC_UINT8: return ((const uint8_t *)array->bytes)[at];
        case MOC_UINT16: return ((const uint16_t *)array->bytes)[at];
        case MOC_UINT32: return ((const uint32_t *)array->bytes)[at];
        case MOC_UINT64: return (double)((const uint64_t *)array->bytes)[at];
        case MOC_FLOAT32: return ((const float *)array->bytes)[at];
        default: return ((const double *)array->bytes)[at];
    }
}

MOC_CHUNK(mean)
int32_t mean(const struct moc_array *array, int32_t axis, struct moc_array *result) {
    if (!is_number(array->dtype)) return moc_fail("mean: expected an array of integers, float32 or float64");
    if (axis < 0) axis += (int32_t)array->ndim;
    if (axis < 0 || (uint32_t)axis >= array->ndim) return moc_fail("mean: the array has no such axis");

    uint32_t shape[MOC_MAX_DIMENSIONS], ndim = 0, outer = 1, inner = 1, length = array->shape[axis];
    for (uint32_t each = 0; each < array->ndim; each++) {
        if (each < (uint32_t)axis) outer *= array->shape[each];
        if (each > (uint32_t)axis) inner *= array->shape[each];
        if (each != (uint32_t)axis) shape[ndim++] = array->shape[each];
    }
    double *to = moc_make(result, MOC_FLOAT64, ndim, shape);
    if (!to) return moc_fail("mean: no memory for the result; see the limit memory_bytes");
    for (uint32_t i = 0; i < outer; i++) {
        for (uint32_t k = 0; k < length; k++) {
            for (uint32_t j = 0; j < inner; j++) to[i * inner + j] += element(array, (i * length + k) * inner + j);
        }
        for (uint32_t j = 0; j < inner; j++) to[i * inner + j] /= length;
    }
    return 0;
}
