// SPDX-License-Identifier: Apache-2.0
// Writes a state to a file and reads it again: one description of a model's members serves both ways.
#pragma once
#include <cstddef>
#include <cstdint>
#include <deque>
#include <type_traits>
#include <vector>

// `sync(archive, member)` writes the member, or fills it, whichever the archive does: it has `kSaves` and `bytes(data, size)`.
template <typename Archive, typename Value>
void sync(Archive& archive, Value& value) {
    static_assert(std::is_trivially_copyable_v<Value>);
    archive.bytes(&value, sizeof(value));
}
template <typename Archive, typename List>
void sync_list(Archive& archive, List& list) {
    uint64_t size = list.size();
    sync(archive, size);
    list.resize(size);
    for (auto& value : list) sync(archive, value);
}
template <typename Archive, typename Value>
void sync(Archive& archive, std::deque<Value>& list) { sync_list(archive, list); }
template <typename Archive, typename Value>
void sync(Archive& archive, std::vector<Value>& list) { sync_list(archive, list); }

// Several members, in this order.
template <typename Archive, typename... Values>
void sync_all(Archive& archive, Values&... values) { (sync(archive, values), ...); }
