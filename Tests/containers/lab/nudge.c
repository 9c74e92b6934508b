// Sets the machine's wall clock by one nanosecond forwards and one back. For the kernel that is a clock that was set: it cancels the
// timers with TFD_TIMER_CANCEL_ON_SET (timerfd_create(2)). For everybody else it is nothing. Needs CAP_SYS_TIME.

#include <stdio.h>
#include <string.h>
#include <sys/timex.h>

int main(void) {
  for (int step = 0; step < 2; step++) {
    struct timex change;
    memset(&change, 0, sizeof change);
    change.modes = ADJ_SETOFFSET | ADJ_NANO;
    // The nanoseconds are never negative: -1 is -1 s and 999 999 999 ns.
    change.time.tv_sec = step == 0 ? 0 : -1;
    change.time.tv_usec = step == 0 ? 1 : 999999999;
    if (adjtimex(&change) < 0) {
      perror("cannot set the clock");
      return 1;
    }
  }
  return 0;
}
