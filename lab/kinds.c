/* SPDX-License-Identifier: BSD-2-Clause */
/* The kinds of fault: their names, as the reports and the replaying ids have them. */
#include "lab.h"

#include <string.h>

#define PLANTED(act, name, about) { name, about, LAB_PLANTED, LAB_##act }
#define MACHINE(mutation, name, about) { name, about, LAB_MACHINE, LAB_##mutation }

const struct lab_kind lab_kinds[] = {
	PLANTED(READ_NULL, "read-null", "a load from address 8"),
	PLANTED(WRITE_NULL, "write-null", "a store to address 8"),
	PLANTED(MISALIGNED, "misaligned", "an aligned vector store to an odd address"),
	PLANTED(NO_ADDRESS, "no-address", "a store to an address that no address can be"),
	PLANTED(WRITE_UNMAPPED, "write-unmapped", "a store where nothing is mapped"),
	PLANTED(READ_KERNEL, "read-kernel", "a load from the kernel's memory"),
	PLANTED(WRITE_KERNEL, "write-kernel", "a store to the kernel's memory"),
	PLANTED(WRITE_DOMAIN, "write-domain", "a store to the memory of another domain"),
	PLANTED(WRITE_TEXT, "write-text", "a store to the module's own code"),
	PLANTED(WRITE_SHARED, "write-shared", "a store to a block of the device, past the services"),
	PLANTED(WRITE_FREED, "write-freed", "the same through a buf that has been released"),
	PLANTED(HEAP_LOAD_FREED, "heap-load-freed", "a load of memory that the module has freed"),
	PLANTED(HEAP_STORE_FREED, "heap-store-freed", "a store to memory that the module has freed"),
	PLANTED(HEAP_STORE_BEYOND, "heap-store-beyond", "a store beyond the end of an allocation, which is then freed"),
	PLANTED(HEAP_LOAD_BEYOND, "heap-load-beyond", "a load from 16 bytes beyond the end of an allocation"),
	PLANTED(HEAP_STORE_BEFORE, "heap-store-before", "a store to the byte before an allocation, which is then freed"),
	PLANTED(HEAP_LOAD_BEFORE, "heap-load-before", "a load from the byte before an allocation"),
	PLANTED(HEAP_FREE_TWICE, "heap-free-twice", "memory freed twice"),
	PLANTED(HEAP_FREE_FOREIGN, "heap-free-foreign", "memory freed that was never allocated"),
	PLANTED(STACK, "stack", "a stack that grows without end"),
	PLANTED(JUMP_NULL, "jump-null", "a call of address 0"),
	PLANTED(JUMP_DATA, "jump-data", "a call of data"),
	PLANTED(JUMP_KERNEL, "jump-kernel", "a call of a function of the kernel's"),
	PLANTED(ILLEGAL, "illegal", "an instruction that does not exist"),
	PLANTED(DIVIDE, "divide", "a division by zero"),
	PLANTED(PRIVILEGED, "privileged", "an instruction that is the system's"),
	PLANTED(SYSCALL, "syscall", "a system call"),
	PLANTED(BREAKPOINT, "breakpoint", "a breakpoint left behind"),
	PLANTED(LOOP, "loop", "an endless loop"),
	PLANTED(RECORD_SIZE, "record-size", "a file of more bytes than there are"),
	PLANTED(RECORD_BLOCKS, "record-blocks", "a file of more blocks than the device has"),
	PLANTED(RECORD_TIME, "record-time", "a time with a thousand million nanoseconds"),
	PLANTED(RECORD_MODE, "record-mode", "permissions with the bits of a type"),
	PLANTED(RECORD_LINKS, "record-links", "a count of names that is negative"),
	PLANTED(RECORD_FLAGS, "record-flags", "a bit that means nothing"),
	PLANTED(RECORD_FID, "record-fid", "a record that has become another file's"),
	PLANTED(RECORD_TYPE, "record-type", "a file that has become a directory, or the reverse"),
	PLANTED(RESULT_POSITIVE, "result-positive", "a result above 0"),
	PLANTED(RESULT_UNKNOWN, "result-unknown", "an error number that does not exist"),
	PLANTED(RESULT_FOREIGN, "result-foreign", "an error that the operation cannot have"),
	PLANTED(EXTENT_BEYOND, "extent-beyond", "blocks beyond the device"),
	PLANTED(EXTENT_GAP, "extent-gap", "blocks of another part of the file"),
	PLANTED(EXTENT_COUNT, "extent-count", "more extents than there is room for"),
	PLANTED(EXTENT_STATE, "extent-state", "a state of blocks that does not exist"),
	PLANTED(BYTES_LENGTH, "bytes-length", "more bytes than there is room for"),
	PLANTED(OTHER_OPERATIONS, "other-operations", "a restarted module has other operations than before"),
	PLANTED(BAD_RANGE, "bad-range", "writes over the end of a block"),
	PLANTED(BAD_BLOCK, "bad-block", "opens blocks beyond the device"),
	PLANTED(STALE_HANDLE, "stale-handle", "uses a buf that is not open"),
	PLANTED(DOUBLE_RELEASE, "double-release", "releases a buf again and again"),
	PLANTED(FORGOTTEN_BUFS, "forgotten-bufs", "leaves bufs open at the end of the call"),
	PLANTED(BAD_LOCK, "bad-lock", "takes locks that do not exist"),
	PLANTED(LOCK_KEPT, "lock-kept", "leaves locks taken at the end of the call"),
	PLANTED(UNLOCK_FOREIGN, "unlock-foreign", "gives back locks that it does not hold"),
	PLANTED(FOREIGN_VNODE, "foreign-vnode", "keeps vnodes that do not exist"),
	PLANTED(BAD_DISCARD, "bad-discard", "discards blocks beyond the device"),
	PLANTED(LONG_LOG, "long-log", "lines for the log that are too long"),
	PLANTED(KILLED, "killed", "the module's process is killed"),
	MACHINE(SOURCE, "source", "another register is read"),
	MACHINE(DESTINATION, "destination", "another register is written"),
	MACHINE(POINTER, "pointer", "another address is computed"),
	MACHINE(INIT, "init", "an initialisation is missing"),
	MACHINE(BRANCH, "branch", "a condition is inverted"),
	MACHINE(BOUNDARY, "off-by-one", "< for <=, or a constant that is off by one"),
	MACHINE(UNLOCKED, "unlocked", "a lock is not taken, or not given back"),
	MACHINE(SIZE, "size", "another number of bytes"),
	MACHINE(ENDLESS, "endless", "a loop that does not end"),
	MACHINE(DROP, "drop", "an instruction is missing"),
	MACHINE(BIT, "bit", "a bit of the code is flipped"),
	MACHINE(DATA, "data", "a bit of the data is flipped"),
	MACHINE(TABLE, "table", "a pointer in a table leads elsewhere"),
	{ "none", "no fault: everything is as it should be", LAB_NO_FAULT, 0 },
	{ 0, 0, 0, 0 },
};

const struct lab_kind *lab_kind_named(const char *name, size_t len)
{
	for (const struct lab_kind *k = lab_kinds; k->name; k++)
		if (strlen(k->name) == len && !memcmp(k->name, name, len))
			return k;
	return 0;
}
