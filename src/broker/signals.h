/* SPDX-License-Identifier: MIT */
/* SIGTERM and SIGINT end the event loop, so that the way out detaches everything. */
#pragma once

struct broker;
struct loop_source;

int signals_watch(struct broker *b, struct loop_source **ret);
void signals_unwatch(struct loop_source *s);
