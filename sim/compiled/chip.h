// SPDX-License-Identifier: Apache-2.0
// The clocked models of a chip: one, or one of the chip without its tiles and as many of the tile as there are.
#pragma once
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "Vtop.h"
#include "chip_ports.h"
#include "workers.h"
#if N_TILES
#include "Vtile.h"
#include "Vtop___024root.h"

// A tile's model and its wires in the chip's model.
class TileModel {
    struct Wire {
        uint8_t *tile, *chip;
        uint32_t n_bytes;
    };
    Vtile m_model;
    std::vector<Wire> m_inputs, m_outputs;

public:
    TileModel(VerilatedContext* context, const char* name) : m_model(context, name) {}
    Vtile& model() { return m_model; }

    template <typename Signal>
    void add_input(Signal& tile, Signal& chip) { add(m_inputs, tile, chip); }
    template <typename Signal>
    void add_output(Signal& tile, Signal& chip) { add(m_outputs, tile, chip); }

    // Carry what changed; return whether anything did.
    bool take_inputs() {
        bool changed = false;
        for (const Wire& wire : m_inputs) changed |= carry(wire.tile, wire.chip, wire.n_bytes);
        return changed;
    }
    bool give_outputs() {
        bool changed = false;
        for (const Wire& wire : m_outputs) changed |= carry(wire.chip, wire.tile, wire.n_bytes);
        return changed;
    }
    void eval(bool clock) {
        m_model.clk = clock;
        m_model.eval();
    }

private:
    template <typename Signal>
    static void add(std::vector<Wire>& wires, Signal& tile, Signal& chip) {
        wires.push_back({reinterpret_cast<uint8_t*>(&tile), reinterpret_cast<uint8_t*>(&chip), sizeof(Signal)});
    }
    static bool carry(uint8_t* to, const uint8_t* from, uint32_t n_bytes) {
        if (n_bytes == 1) {
            const bool changed = *to != *from;
            *to = *from;
            return changed;
        }
        if (!std::memcmp(to, from, n_bytes)) return false;
        std::memcpy(to, from, n_bytes);
        return true;
    }
};
#endif

// Two phases make a cycle. `fall` lets what depends on inputs settle, `rise` is the clock's edge.
class ChipModel {
    Workers m_workers;
#if N_TILES
    std::vector<std::unique_ptr<TileModel>> m_tiles;
    std::vector<uint8_t> m_changed;  // a tile's outputs did, a byte each, since threads write them
#endif

public:
    Vtop top;

#if N_TILES
    explicit ChipModel(VerilatedContext* context) : top(context), m_changed(N_TILES) {
#define ADD_INPUT(port, wire) tile.add_input(tile.model().port, root.wire);
#define ADD_OUTPUT(port, wire) tile.add_output(tile.model().port, root.wire);
#define ADD_TILE(place)                                                     \
    {                                                                       \
        m_tiles.push_back(std::make_unique<TileModel>(context, #place));    \
        TileModel& tile = *m_tiles.back();                                  \
        TILE_INPUTS(ADD_INPUT, place) TILE_OUTPUTS(ADD_OUTPUT, place)       \
    }
        Vtop___024root& root = *top.rootp;
        TILES(ADD_TILE)
#undef ADD_TILE
#undef ADD_OUTPUT
#undef ADD_INPUT
    }

    // A tile's outputs come from registers, but for `ready` of the reduction links. So the tiles see each other's new outputs
    // after the chip's wires have carried them once; where a `ready` changes it is carried on, until all is at rest.
    void fall() {
        m_workers.run(N_TILES, [&](uint32_t i) { m_tiles[i]->give_outputs(); });
        top.clk = 0;
        top.eval();
        m_workers.run(N_TILES, [&](uint32_t i) {
            m_tiles[i]->take_inputs();
            m_tiles[i]->eval(false);
            m_changed[i] = m_tiles[i]->give_outputs();
        });
        while (std::memchr(m_changed.data(), 1, N_TILES)) {
            top.eval();
            m_workers.run(N_TILES, [&](uint32_t i) {
                m_changed[i] = 0;
                if (!m_tiles[i]->take_inputs()) return;
                m_tiles[i]->eval(false);
                m_changed[i] = m_tiles[i]->give_outputs();
            });
        }
    }
    void rise() {
        m_workers.run(1 + N_TILES, [&](uint32_t i) {
            if (i) return m_tiles[i - 1]->eval(true);
            top.clk = 1;
            top.eval();
        });
    }
    void final() {
        top.final();
        for (auto& tile : m_tiles) tile->model().final();
    }
#else
    explicit ChipModel(VerilatedContext* context) : top(context) {}
    void fall() { top.clk = 0, top.eval(); }
    void rise() { top.clk = 1, top.eval(); }
    void final() { top.final(); }
#endif

#if SAVABLE
    // Everything, see state.h.
    template <typename Archive>
    void sync_state(Archive& archive) {
        archive.model(top);
#if N_TILES
        for (auto& tile : m_tiles) archive.model(tile->model());
#endif
    }
#endif

    void set_threads(unsigned n_threads) { m_workers.set_threads(n_threads); }
    // Between runs the threads shall not spin.
    void pause() { m_workers.pause(); }

    // Path in a waveform of `scope`, which is a path from the chip; "" for all.
    static std::string trace_path(const std::string& scope) {
        if (scope.empty()) return "";
        const std::string place = scope.substr(0, scope.find('.'));
        return is_tile(place) ? place + ".tile" + scope.substr(place.size()) : "TOP.mtia_chip." + scope;
    }
    // Adds the models that hold `scope` to a waveform.
    template <typename Trace>
    void add_trace(Trace* trace, const std::string& scope) {
        const std::string place = scope.substr(0, scope.find('.'));
        if (!is_tile(place)) top.trace(trace, 99);
#if N_TILES
        for (auto& tile : m_tiles)
            if (scope.empty() || place == tile->model().name()) tile->model().trace(trace, 99);
#endif
    }

private:
    static bool is_tile(const std::string& place) {
#if N_TILES
#define IS_PLACE(name) || place == #name
        return false TILES(IS_PLACE);
#undef IS_PLACE
#else
        return (void)place, false;
#endif
    }
};
