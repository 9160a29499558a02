(component
    (import "wasi:filesystem/types@0.2.0" (instance $files (export "descriptor" (type (sub resource)))))
    (alias export $files "descriptor" (type $handle))
    (core func $drop (canon resource.drop $handle))
    (core module $m
        (import "host" "drop" (func $drop (param i32)))
        (func (export "f") (result i32) (call $drop (i32.const 3)) i32.const 7))
    (core instance $i (instantiate $m (with "host" (instance (export "drop" (func $drop))))))
    (func (export "go") (result u32) (canon lift (core func $i "f"))))
