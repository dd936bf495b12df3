/* SPDX-License-Identifier: BSD-2-Clause */
/* Rings of struct td__list, whose head is one of them. What is in no ring has next 0. */
#ifndef TADAN_LIST_H
#define TADAN_LIST_H

#include "fs.h"

static inline void td__list_init(struct td__list *l)
{
	l->next = l->prev = l;
}

static inline void td__list_add(struct td__list *head, struct td__list *l)
{
	l->prev = head->prev;
	l->next = head;
	head->prev->next = l;
	head->prev = l;
}

static inline void td__list_del(struct td__list *l)
{
	l->prev->next = l->next;
	l->next->prev = l->prev;
	l->next = l->prev = 0;
}

#endif
