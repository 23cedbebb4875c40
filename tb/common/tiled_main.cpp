// SPDX-License-Identifier: Apache-2.0
// `bench_main.cpp` for a design of which one module, the tile, is a model of its own that is built once and runs for every
// place, see sim/compiled/tiles.py. cocotb sees the ports of the top module as ever.

#include "chip.h"  // of sim/compiled

class TiledTop final : public Vtop {
    std::vector<std::unique_ptr<TileModel>> m_tiles;
    bool m_clock = false;

public:
    explicit TiledTop(const char* name) : Vtop(name) {
#define ADD_INPUT(port, wire) tile.add_input(tile.model().port, root.wire);
#define ADD_OUTPUT(port, wire) tile.add_output(tile.model().port, root.wire);
#define ADD_TILE(place)                                                                 \
    {                                                                                   \
        m_tiles.push_back(std::make_unique<TileModel>(contextp(), #place));             \
        TileModel& tile = *m_tiles.back();                                              \
        TILE_INPUTS(ADD_INPUT, place) TILE_OUTPUTS(ADD_OUTPUT, place)                   \
    }
        Vtop___024root& root = *rootp;
        TILES(ADD_TILE)
#undef ADD_TILE
#undef ADD_OUTPUT
#undef ADD_INPUT
    }

    // At an edge of the clock every model sees what was at rest before it; what follows from that, or from inputs that cocotb
    // has set, is carried between the models until all is at rest again.
    void eval_step() {
        const bool edge = clk != m_clock;
        m_clock = clk;
        if (edge) {
            Vtop::eval_step();
            for (auto& tile : m_tiles) tile->eval(m_clock);
        }
        for (auto& tile : m_tiles) tile->give_outputs();
        for (bool changed = true; changed;) {
            Vtop::eval_step();
            changed = false;
            for (auto& tile : m_tiles) {
                if (!tile->take_inputs()) continue;
                tile->eval(m_clock);
                changed |= tile->give_outputs();
            }
        }
    }

    template <typename Trace>
    void trace(Trace* trace, int levels) {
        Vtop::trace(trace, levels);
        for (auto& tile : m_tiles) tile->model().trace(trace, levels);
    }

    void final() {
        Vtop::final();
        for (auto& tile : m_tiles) tile->model().final();
    }
};

#define Vtop TiledTop
#include "bench_main.cpp"
