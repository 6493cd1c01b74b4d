#pragma once

// Workers that run on one processor while another has nothing to do: Linux looks
// for such pairs at its next balance, on a virtual machine of two cores 4 to 12 ms
// later (engine/ort/spread.c). mr_spread_begin is called before a long stretch of
// work, and moves the calling thread if it is one of a pair; mr_spread_end after it,
// with what mr_spread_begin gave.
int mr_spread_begin(void);
void mr_spread_end(int slot);
