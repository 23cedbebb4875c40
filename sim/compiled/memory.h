// SPDX-License-Identifier: Apache-2.0
// Sparse memory behind the DRAM model: pages appear, zeroed, when touched.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <unordered_map>
#include <utility>

#include "state.h"

class SparseMemory {
    static constexpr uint64_t kPage = 1 << 20;
    std::unordered_map<uint64_t, std::unique_ptr<uint8_t[]>> m_pages;

    uint8_t* at(uint64_t offset) {
        auto& page = m_pages[offset / kPage];
        if (!page) page.reset(new uint8_t[kPage]());
        return page.get() + offset % kPage;
    }

    template <typename Archive>
    static uint64_t sync_page(Archive& archive, uint64_t number, uint8_t* data) {
        sync(archive, number);
        archive.bytes(data, kPage);
        return number;
    }

    template <typename Copy>
    void spans(uint64_t offset, uint64_t n_bytes, Copy copy) {
        for (uint64_t done = 0; done < n_bytes;) {
            const uint64_t size = std::min(n_bytes - done, kPage - (offset + done) % kPage);
            copy(at(offset + done), done, size);
            done += size;
        }
    }

public:
    void write(uint64_t offset, const uint8_t* data, uint64_t n_bytes) {
        spans(offset, n_bytes, [&](uint8_t* to, uint64_t from, uint64_t size) {
            std::memcpy(to, data + from, size);
        });
    }
    void read(uint64_t offset, uint8_t* data, uint64_t n_bytes) {
        spans(offset, n_bytes, [&](uint8_t* from, uint64_t to, uint64_t size) {
            std::memcpy(data + to, from, size);
        });
    }
    // All pages, see state.h.
    template <typename Archive>
    void sync_state(Archive& archive) {
        uint64_t n_pages = m_pages.size();
        sync(archive, n_pages);
        if constexpr (Archive::kSaves) {
            for (auto& [number, page] : m_pages) sync_page(archive, number, page.get());
            return;
        }
        m_pages.clear();
        for (uint64_t i = 0; i < n_pages; ++i) {
            auto page = std::make_unique<uint8_t[]>(kPage);
            const uint64_t number = sync_page(archive, 0, page.get());
            m_pages[number] = std::move(page);
        }
    }
    void write_strobed(uint64_t offset, const uint8_t* data, const uint8_t* strobe, unsigned n_bytes) {
        for (unsigned i = 0; i < n_bytes; ++i) {
            if (strobe[i / 8] >> (i % 8) & 1) *at(offset + i) = data[i];
        }
    }
};
