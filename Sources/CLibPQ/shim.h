#include <libpq-fe.h>
// The connection's thread sleeps in poll(2) on its socket and an eventfd; Swift's Glibc module does not export eventfd.
#include <sys/eventfd.h>
