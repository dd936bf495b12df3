/* SPDX-License-Identifier: BSD-2-Clause */
/* What the module report_acts does wrongly: in which operation, and, where it has one, at the line of its source that says `HERE name`, or in the function that says `WITHIN name`. */
#ifndef REPORT_ACTS_H
#define REPORT_ACTS_H

#define REPORT_ACTS(act)                                                                                                             \
	/* Memory */                                                                                                                 \
	act(null_load, seek) act(null_store, seek) act(misaligned, seek) act(no_address, seek) act(unmapped, seek)                   \
	act(host_load, seek) act(host_store, seek) act(text_store, seek) act(constant_store, seek) act(block_store, seek)            \
	act(released_store, seek) act(recursion, seek) act(recursion_in_service, seek) act(large_frame, seek) act(stack_above, seek) \
	act(jump_null, seek)                                                                                                         \
	act(jump_data, seek) act(jump_heap, seek) act(illegal, seek) act(divide, seek) act(privileged, seek) act(breakpoint, seek)   \
	act(free_twice, seek) act(free_foreign, seek) act(free_middle, seek) act(freed_load, seek) act(freed_store, seek)            \
	act(freed_before, seek) act(over_end, seek) act(over_end_load, seek) act(over_end_near, seek) act(before_store, seek)        \
	act(before_pages, seek)                                                                                                        \
	/* Meaning */                                                                                                                \
	act(negative_links, fsync) act(huge_size, fsync) act(other_type, fsync) act(unchangeable, fsync) act(positive_result, fsync) \
	act(foreign_error, fsync) act(false_eio, fsync) act(block_beyond, bmap) act(other_place, bmap) act(many_extents, bmap)       \
	/* Use of the kernel */                                                                                                      \
	act(bad_range, seek) act(stale_buf, seek) act(closed_twice, seek) act(beyond_device, seek) act(bad_memory, seek)             \
	act(no_such_lock, seek) act(unlock_free, seek) act(lock_twice, seek) act(foreign_vnode, seek) act(given_back_twice, seek)    \
	act(shared_record, seek) act(buf_left, seek) act(lock_left, seek) act(too_many, seek) act(too_much_undo, seek)               \
	act(reference_left, seek) act(memory_left, seek) act(no_lock, seek)                                                          \
	/* Deadlock, liveness */                                                                                                     \
	act(deadlock, seek) act(endless, seek) act(endless_services, seek) act(slow, seek)

#define REPORT_NUMBER(name, op) ACT_##name,
enum { ACT_NONE = 1, REPORT_ACTS(REPORT_NUMBER) ACTS };

#endif
