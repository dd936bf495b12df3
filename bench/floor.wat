;; SPDX-License-Identifier: BSD-2-Clause
;; What `floor` calls as a module behind wasm2c: it counts in its memory.
(module
  (memory (export "memory") 1)
  (func (export "count")
    (i32.store (i32.const 64) (i32.add (i32.load (i32.const 64)) (i32.const 1)))))
