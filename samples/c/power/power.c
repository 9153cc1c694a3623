/*
 * A function that others import: build it with -ffreestanding.
 *
 *   power(base, exponent)   base to a whole power; a negative one gives the reciprocal
 */

double power(double base, long long exponent) {
    unsigned long long left = exponent < 0 ? 0ull - (unsigned long long)exponent : (unsigned long long)exponent;
    double result = 1;
    for (double square = base; left != 0; left >>= 1, square *= square)
        if (left & 1) result *= square;
    return exponent < 0 ? 1 / result : result;
}
