#include "greeting.h"
#include "config.h"

#include <stdio.h>

int greet(const char *name)
{
    return printf("Hello, %s, from %s.\n", name, PACKAGE_STRING) < 0 ? -1 : 0;
}
