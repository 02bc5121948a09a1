/* SPDX-License-Identifier: MIT */
/* Calls every function of ../../system/kernel_parity/funcs.S as often as a line of its input says. */
#include <stdio.h>

typedef unsigned long fn(void *callback, void *arg);
fn p_0, p_1, p_2, p_3, p_4, p_5, p_6, p_7;
unsigned long p_usdt(unsigned long a, unsigned long b), p_combo(unsigned long a, unsigned long b);

int main(void)
{
	static fn *const all[] = { p_0, p_1, p_2, p_3, p_4, p_5, p_6, p_7 };
	int n;

	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("ready");
	while (scanf("%d", &n) == 1) {
		for (int i = 0; i < n; i++) {
			for (int k = 0; k < 8; k++)
				all[k](NULL, NULL);
			p_usdt(3, 4);
			p_combo(3, 4);
		}
		puts("done");
	}
	return 0;
}
