#include "greeting.h"
#include "config.h"

#include <stdio.h>

int greet(const char *name)
{
    return printf("Hello, %s, from %s.\n", name, GREETER) < 0 ? -1 : 0;
}
