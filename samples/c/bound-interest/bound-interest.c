/*
 * Functions call functions: what is declared with the attribute import_module is an export of the registered function of
 * that name. It is called like any other C function, and runs in an instance of its own. Build with -ffreestanding, and
 * register with --grant call:power, after power itself.
 *
 *   interest(amount, percent, years)   what an amount is worth with compound interest
 *   doubled(percent)                   after how many years it has doubled; 0 for never
 */

__attribute__((import_module("power"), import_name("power"))) double power(double base, long long exponent);

double interest(double amount, double percent, int years) { return amount * power(1 + percent / 100, years); }

int doubled(double percent) {
    int years = 0;
    if (!(1 + percent / 100 > 1)) return 0;
    while (interest(1, percent, years) < 2) years++;
    return years;
}
