#ifndef GREETING_H
#define GREETING_H

#define GREETER "make"

/* Prints one greeting. Returns 0, or -1 when standard output cannot be written. */
int greet(const char *name);

#endif
